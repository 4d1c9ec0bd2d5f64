"""The kinds of tasks: one file each for how /predict writes its answers. New kinds are registered here."""

from app.api.predict.tasks.classification import ClassificationAnswers
from app.api.predict.tasks.multilabel import MultilabelAnswers
from app.api.predict.tasks.regression import RegressionAnswers
from app.api.predict.tasks.task import TaskAnswers
from app.contract.tasks import TaskName

ANSWERS: dict[TaskName, TaskAnswers] = {
    "classification": ClassificationAnswers(),
    "multilabel": MultilabelAnswers(),
    "regression": RegressionAnswers(),
}

SELECTABLE = tuple(dict.fromkeys(name for of in ANSWERS.values() for menu in of.menus for name in menu.selectable))
"""Every output of any kind of model."""
