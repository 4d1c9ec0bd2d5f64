"""The kinds of tasks: one file each says how its networks are trained. A new task is registered here."""

from app.contract.tasks import TaskName
from models.training.tasks.classification import ClassificationTrainer
from models.training.tasks.multilabel import MultilabelTrainer
from models.training.tasks.regression import RegressionTrainer
from models.training.tasks.task import TaskTrainer

__all__ = ["TASKS", "TaskTrainer"]

TASKS: dict[TaskName, TaskTrainer] = {
    "classification": ClassificationTrainer(),
    "multilabel": MultilabelTrainer(),
    "regression": RegressionTrainer(),
}
