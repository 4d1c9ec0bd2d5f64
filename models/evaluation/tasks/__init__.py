"""The kinds of tasks: what calibrating and evaluating a model does for each stands in one file. A new kind is entered
here. No torch here."""

from app.contract.tasks import TaskName
from models.evaluation.tasks.classification import ClassificationEvaluator
from models.evaluation.tasks.regression import RegressionEvaluator
from models.evaluation.tasks.task import TaskEvaluator

__all__ = ["TASKS", "TaskEvaluator"]

TASKS: dict[TaskName, TaskEvaluator] = {
    "classification": ClassificationEvaluator(),
    "regression": RegressionEvaluator(),
}
