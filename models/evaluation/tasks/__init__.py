"""The kinds of tasks: one file each says how its models are calibrated and evaluated. A new task is registered
here. No torch here."""

from app.contract.head import Head
from app.contract.tasks import TaskName
from models.evaluation.tasks.classification import ClassificationEvaluator
from models.evaluation.tasks.dense_classification import DenseClassificationEvaluator
from models.evaluation.tasks.dense_multilabel import DenseMultilabelEvaluator
from models.evaluation.tasks.dense_regression import DenseRegressionEvaluator
from models.evaluation.tasks.multilabel import MultilabelEvaluator
from models.evaluation.tasks.regression import RegressionEvaluator
from models.evaluation.tasks.task import TaskEvaluator

__all__ = ["DENSE", "TASKS", "TaskEvaluator", "evaluator_of"]

TASKS: dict[TaskName, TaskEvaluator] = {
    "classification": ClassificationEvaluator(),
    "multilabel": MultilabelEvaluator(),
    "regression": RegressionEvaluator(),
}

DENSE: dict[TaskName, TaskEvaluator] = {
    "classification": DenseClassificationEvaluator(),
    "multilabel": DenseMultilabelEvaluator(),
    "regression": DenseRegressionEvaluator(),
}
"""Of heads with a grid."""


def evaluator_of(head: Head) -> TaskEvaluator:
    """What calibrates and evaluates a head."""
    return (DENSE if head.grid else TASKS)[head.task]
