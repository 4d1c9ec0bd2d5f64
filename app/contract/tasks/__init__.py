"""The kinds of tasks: one file each for what differs in a contract. New kinds are registered here."""

from typing import Literal

from app.contract.tasks.classification import (
    ClassificationEvaluation,
    ClassificationTask,
    DenseClassificationEvaluation,
)
from app.contract.tasks.multilabel import MultilabelEvaluation, MultilabelTask
from app.contract.tasks.regression import RegressionEvaluation, RegressionTask
from app.contract.tasks.task import Task

__all__ = ["TASKS", "Evaluation", "Task", "TaskName"]

TaskName = Literal["classification", "multilabel", "regression"]
Evaluation = ClassificationEvaluation | DenseClassificationEvaluation | MultilabelEvaluation | RegressionEvaluation

TASKS: dict[TaskName, Task] = {
    "classification": ClassificationTask(),
    "multilabel": MultilabelTask(),
    "regression": RegressionTask(),
}
