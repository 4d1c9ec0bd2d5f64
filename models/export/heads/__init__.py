"""The kinds of heads: what the compiler does for each task stands in one file. A new kind is entered here."""

from app.contract.tasks import TaskName
from models.export.heads.classification import ClassificationExporter
from models.export.heads.head import TaskExporter
from models.export.heads.multilabel import MultilabelExporter
from models.export.heads.regression import RegressionExporter
from models.export.options import HeadOptions

__all__ = ["TASKS", "TaskExporter", "named_task"]

TASKS: dict[TaskName, TaskExporter] = {
    "classification": ClassificationExporter(),
    "multilabel": MultilabelExporter(),
    "regression": RegressionExporter(),
}


def named_task(options: HeadOptions) -> TaskExporter:
    """The task that the options of a head name.

    Raises:
        ValueError: they give neither labels nor targets, or both, or what their task does not have.
    """
    given = [field for field in ("labels", "targets") if getattr(options, field) is not None]
    if len(given) != 1:
        raise ValueError("labels, targets: give one of the two")
    fitting = {name: task for name, task in TASKS.items() if task.named_by == given[0]}
    if options.task is None:
        return next(task for task in fitting.values() if task.by_default)
    if options.task not in fitting:
        raise ValueError(f"task: with {given[0]} expected {' or '.join(fitting)}, got {options.task}")
    return fitting[options.task]
