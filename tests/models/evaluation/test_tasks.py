import pytest

from app.contract.head import Head
from app.contract.tasks import classification
from models.evaluation.tasks import DENSE, TASKS, evaluator_of


@pytest.mark.parametrize(("grid", "kinds"), [((), TASKS), (("H", "W"), DENSE)])
def test_heads_with_a_grid_are_evaluated_by_their_own_kind(grid: tuple[str, ...], kinds: object) -> None:
    head = Head(labels=("a", "b"), grid=grid, outputs=classification.outputs(grid))
    assert evaluator_of(head) is kinds["classification"]  # type: ignore[index]


def test_every_task_has_both_kinds() -> None:
    assert TASKS.keys() == DENSE.keys()
