from models.evaluation.tasks import DENSE, TASKS, evaluator_of
from tests import dense_graphs
from tests.models.evaluation.answered import CONTRACT


def test_a_head_with_a_grid_has_an_evaluator_of_its_own() -> None:
    assert evaluator_of(CONTRACT.head) is TASKS["classification"]
    assert evaluator_of(dense_graphs.segmentation()[1].head) is DENSE["classification"]
    assert evaluator_of(dense_graphs.density()[1].head) is DENSE["regression"]
