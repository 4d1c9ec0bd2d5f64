"""Answers of a multilabel model: the labels that are on, their probabilities, and what is uncertain about each."""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.api.predict.menu import Menu
from app.api.predict.pictures import MapRange
from app.api.predict.tasks.task import (
    JsonRows,
    OutputSelection,
    SetMembers,
    TaskAnswers,
    npz_row_scores,
    npz_shares,
    put,
    row_scores,
    set_writer,
    shares,
)
from app.contract.calibration import PredictionSet
from app.contract.head import Head
from app.contract.tasks.multilabel import SCORES, prediction_set_members
from app.contract.tasks.task import Arrays, row_output

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
_ROW_SCORES = tuple(map(row_output, SCORES))
_MAPS = ("prediction", "probabilities", "entropy", "expected_entropy", "mutual_information")
_DENSE = Menu(
    {
        "shares": (row_output("shares"),),
        "row_scores": _ROW_SCORES,
        "percentiles": _ROW_SCORES,
        "decision": _ROW_SCORES,
        **{name: (name,) for name in _MAPS},
        "prediction_set": ("probabilities",),
        "submodels": ("submodels",),
        "logits": ("logits",),
    },
    maps=(*_MAPS, "prediction_set", "submodels", "logits"),
)


def _named(head: Head, on: NDArray[np.bool_]) -> list[list[str]]:
    """The names of the labels [B, K] that are on, in the model's order, for each row."""
    labels = head.labels
    return [[labels[index] for index in np.flatnonzero(row)] for row in on]


def _json_prediction(rows: JsonRows, selection: OutputSelection, found: Arrays) -> None:
    put(rows, "labels", _named(selection.head, found["prediction"] == 1))


def _json_submodels(rows: JsonRows, selection: OutputSelection, found: Arrays) -> None:
    for row, members in zip(rows, found["submodels"]):
        named = _named(selection.head, members > 0.5)
        row["submodels"] = [
            {"labels": labels, "probabilities": probabilities} for labels, probabilities in zip(named, members)
        ]


def _members(one: PredictionSet, probabilities: NDArray[Any]) -> SetMembers:
    counts = prediction_set_members(one, probabilities).sum(axis=-1)
    return np.argsort(-probabilities, axis=-1, kind="stable"), counts


def _npz_prediction_set(selection: OutputSelection, found: Arrays) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for one in selection.regions:
        inside = prediction_set_members(one, found["probabilities"])
        arrays = {"prediction_set": inside, "prediction_set.coverage": one.coverage}
    return arrays


class MultilabelAnswers(TaskAnswers):
    """All multilabel models have the same menu, and all dense ones; a response holds one prediction set."""

    menus = (_MENU, _DENSE)
    json: ClassVar = {
        "prediction": _json_prediction,
        "submodels": _json_submodels,
        "prediction_set": set_writer(_members),
        "shares": shares,
        "row_scores": row_scores,
    }
    npz: ClassVar = {"prediction_set": _npz_prediction_set, "shares": npz_shares, "row_scores": npz_row_scores}

    def menu(self, head: Head) -> Menu:
        """Depends on whether the head is dense."""
        return _DENSE if head.grid else _MENU

    def map_classes(self, head: Head, output: str) -> int | None:
        """Off and on, of `prediction`."""
        return 2 if output == "prediction" else None

    def map_range(self, head: Head, submodels: int, output: str) -> MapRange | None:
        """Entropies are from 0 to ln 2, and mutual information as well unless there is one submodel; probabilities from
        0 to 1."""
        if output == "probabilities":
            return MapRange(0.0, 1.0)
        most = math.log(min(submodels, 2)) if output == "mutual_information" else math.log(2)
        return MapRange(0.0, most) if output in SCORES else None
