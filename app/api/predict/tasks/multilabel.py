"""Answers of a multilabel model: the labels that are on, their probabilities, and what is uncertain about each."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.api.predict.menu import Menu
from app.api.predict.tasks.task import Arrays, JsonRows, OutputSelection, SetMembers, TaskAnswers, put, set_writer
from app.contract.calibration import PredictionSet
from app.contract.schema import Contract
from app.contract.tasks.multilabel import SCORES, prediction_set_members
from app.engine.model import Model

_MENU = Menu(
    {
        "prediction": ("prediction",),
        "probabilities": ("probabilities",),
        "entropy": ("entropy",),
        "expected_entropy": ("expected_entropy",),
        "mutual_information": ("mutual_information",),
        "row_scores": SCORES,
        "percentiles": SCORES,
        "prediction_set": ("probabilities",),
        "decision": SCORES,
        "submodels": ("submodels",),
        "logits": ("logits",),
    },
    on_request=("logits",),
)


def _named(model: Model, on: NDArray[np.bool_]) -> list[list[str]]:
    """The names of the labels [B, K] that are on, in the model's order, for each row."""
    labels = model.contract.labels
    return [[labels[index] for index in np.flatnonzero(row)] for row in on]


def _json_prediction(rows: JsonRows, model: Model, _: OutputSelection, found: Arrays) -> None:
    put(rows, "labels", _named(model, found["prediction"] == 1))


def _json_row_scores(rows: JsonRows, model: Model, _: OutputSelection, found: Arrays) -> None:
    of_rows = model.contract.score_values(found)
    put(rows, "row_scores", [dict(zip(of_rows, values)) for values in zip(*of_rows.values())])


def _json_submodels(rows: JsonRows, model: Model, _: OutputSelection, found: Arrays) -> None:
    for row, members in zip(rows, found["submodels"]):
        named = _named(model, members > 0.5)
        row["submodels"] = [
            {"labels": labels, "probabilities": probabilities} for labels, probabilities in zip(named, members)
        ]


def _members(one: PredictionSet, probabilities: NDArray[Any]) -> SetMembers:
    counts = prediction_set_members(one, probabilities).sum(axis=-1)
    return np.argsort(-probabilities, axis=-1, kind="stable"), counts


def _npz_row_scores(model: Model, _: OutputSelection, found: Arrays) -> Arrays:
    return {f"row_scores.{name}": values for name, values in model.contract.score_values(found).items()}


def _npz_prediction_set(_: Model, selection: OutputSelection, found: Arrays) -> Arrays:
    arrays: dict[str, Any] = {}
    for one in selection.regions:
        inside = prediction_set_members(one, found["probabilities"])
        arrays = {"prediction_set": inside, "prediction_set.coverage": one.coverage}
    return arrays


class MultilabelAnswers(TaskAnswers):
    """All multilabel models have the same menu; a response holds one prediction set."""

    menus = (_MENU,)
    json: ClassVar = {
        "prediction": _json_prediction,
        "row_scores": _json_row_scores,
        "submodels": _json_submodels,
        "prediction_set": set_writer(_members),
    }
    npz: ClassVar = {"row_scores": _npz_row_scores, "prediction_set": _npz_prediction_set}

    def menu(self, contract: Contract) -> Menu:
        """The same for every multilabel model."""
        return _MENU
