"""The kinds of tasks whose answers have receipts: one file each. New kinds are registered here."""

from app.contract.tasks import TaskName
from app.feedback.tasks.classification import ClassificationFeedback
from app.feedback.tasks.regression import RegressionFeedback
from app.feedback.tasks.task import FeedbackTask

FEEDBACK: dict[TaskName, FeedbackTask] = {
    "classification": ClassificationFeedback(),
    "regression": RegressionFeedback(),
}
