"""The kinds of tasks: what training a network does for each stands in one file. A new kind is entered here."""

from app.contract.tasks import TaskName
from models.training.tasks.classification import ClassificationTrainer
from models.training.tasks.regression import RegressionTrainer
from models.training.tasks.task import TaskTrainer

__all__ = ["TASKS", "TaskTrainer"]

TASKS: dict[TaskName, TaskTrainer] = {
    "classification": ClassificationTrainer(),
    "regression": RegressionTrainer(),
}
