"""The kinds of tasks: one file each says what its outputs should be. A new task is entered here."""

from app.contract.tasks import TaskName
from models.export.verification.classification import ClassificationVerifier
from models.export.verification.multilabel import MultilabelVerifier
from models.export.verification.regression import RegressionVerifier
from models.export.verification.task import TaskVerifier

TASKS: dict[TaskName, TaskVerifier] = {
    "classification": ClassificationVerifier(),
    "multilabel": MultilabelVerifier(),
    "regression": RegressionVerifier(),
}
