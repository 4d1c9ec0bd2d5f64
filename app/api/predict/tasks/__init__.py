"""The kinds of tasks: how /predict writes the answers of each stands in one file. A new kind is entered here."""

from app.api.predict.tasks.classification import ClassificationAnswers
from app.api.predict.tasks.regression import RegressionAnswers
from app.api.predict.tasks.task import TaskAnswers
from app.contract.tasks import TaskName

ANSWERS: dict[TaskName, TaskAnswers] = {"classification": ClassificationAnswers(), "regression": RegressionAnswers()}

SELECTABLE = tuple(dict.fromkeys(name for of in ANSWERS.values() for menu in of.menus for name in menu.selectable))
"""What can be asked of a model of some kind."""
