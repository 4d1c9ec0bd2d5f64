from typing import get_args

from app.contract.tasks import TaskName
from models.evaluation.tasks import DENSE, TASKS
from models.evaluation.tasks.task import four_decimals
from tests.models.evaluation.answered import calibration


def test_every_task_is_registered_under_its_name() -> None:
    assert set(TASKS) == set(get_args(TaskName))
    assert [type(TASKS[name]).__name__ for name in TASKS] == [f"{name.capitalize()}Evaluator" for name in TASKS]
    assert [type(DENSE[name]).__name__ for name in TASKS] == [f"Dense{name.capitalize()}Evaluator" for name in TASKS]


def test_numbers_have_four_decimals() -> None:
    assert four_decimals([1, 2.00006, -0.1]) == "1.0000 2.0001 -0.1000"


def test_a_fit_is_told_by_its_scale_and_the_likelihood_before_and_after() -> None:
    fitted = calibration().model_copy(update={"temperature": 1.5, "nll_before": 2.0, "nll_after": 1.25})
    for evaluator in TASKS.values():
        assert evaluator.describe_fit(fitted) == "temperature 1.5000, NLL 2.0000 at temperature 1, 1.2500 now"
