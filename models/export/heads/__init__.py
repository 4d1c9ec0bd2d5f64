"""The kinds of heads: what the compiler does for each task stands in one file. A new kind is entered here."""

from app.contract.tasks import TaskName
from models.export.heads.classification import ClassificationExporter
from models.export.heads.head import Head, HeadBuilder, TaskExporter
from models.export.heads.regression import RegressionExporter
from models.export.options import ExportOptions

__all__ = ["TASKS", "Head", "HeadBuilder", "TaskExporter", "named_task"]

TASKS: dict[TaskName, TaskExporter] = {
    "classification": ClassificationExporter(),
    "regression": RegressionExporter(),
}


def named_task(options: ExportOptions) -> TaskExporter:
    """The task that the options name.

    Raises:
        ValueError: they name none, or several.
    """
    named = [task for task in TASKS.values() if task.is_named(options)]
    if len(named) != 1:
        raise ValueError("labels, targets: give one of the two")
    return named[0]
