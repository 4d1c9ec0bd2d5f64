"""Answers of a classifier: labels, probabilities and prediction sets."""

import math
from typing import Any, ClassVar

import numpy as np

from app.api.predict.menu import Menu
from app.api.predict.pictures import MapRange
from app.api.predict.tasks.task import (
    JsonRows,
    OutputSelection,
    TaskAnswers,
    npz_row_scores,
    npz_shares,
    row_scores,
    set_writer,
    shares,
)
from app.contract.head import Head
from app.contract.tasks.classification import SCORES, dense_set_members, prediction_set_members
from app.contract.tasks.task import Arrays, row_output

_FOR_SCORES = ("probabilities", "entropy", "expected_entropy", "mutual_information", "energy")
_MENU = Menu(
    {
        "prediction": ("prediction", "probabilities"),
        "probabilities": ("probabilities",),
        "entropy": ("entropy",),
        "expected_entropy": ("expected_entropy",),
        "mutual_information": ("mutual_information",),
        "energy": ("energy",),
        "percentiles": _FOR_SCORES,
        "prediction_set": ("probabilities",),
        "decision": _FOR_SCORES,
        "submodels": ("submodels",),
        "logits": ("logits",),
        "receipt": _FOR_SCORES,
    },
    on_request=("logits", "receipt"),
)
_ROW_SCORES = tuple(map(row_output, SCORES))
_MAPS = ("prediction", "probabilities", "entropy", "expected_entropy", "mutual_information", "energy")
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


def _json_prediction(rows: JsonRows, selection: OutputSelection, found: Arrays) -> None:
    labels = selection.head.labels
    for row, index, probabilities in zip(rows, found["prediction"].tolist(), found["probabilities"]):
        row["label"], row["index"], row["confidence"] = labels[index], index, probabilities[index]


def _json_submodels(rows: JsonRows, selection: OutputSelection, found: Arrays) -> None:
    labels, values = selection.head.labels, found["submodels"]
    for row, members, indices in zip(rows, values, values.argmax(axis=-1).tolist()):
        row["submodels"] = [
            {"label": labels[index], "index": index, "probabilities": probabilities}
            for index, probabilities in zip(indices, members)
        ]


def _npz_prediction_set(selection: OutputSelection, found: Arrays) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for one in selection.regions:
        if selection.head.grid:
            inside = dense_set_members(one, found["probabilities"])
            arrays = {"prediction_set": inside, "prediction_set.coverage": one.coverage}
            continue
        order, counts = prediction_set_members(one, found["probabilities"])
        inside = np.empty(order.shape, bool)  # filled as a whole: order is a permutation
        np.put_along_axis(inside, order, np.arange(order.shape[1]) < counts[:, None], axis=1)
        arrays = {"prediction_set": inside, "prediction_set.coverage": one.coverage}
    return arrays


class ClassificationAnswers(TaskAnswers):
    """All classifiers have the same menu, and all dense ones; a response holds one prediction set."""

    menus = (_MENU, _DENSE)
    json: ClassVar = {
        "prediction": _json_prediction,
        "submodels": _json_submodels,
        "prediction_set": set_writer(prediction_set_members),
        "shares": shares,
        "row_scores": row_scores,
    }
    npz: ClassVar = {"prediction_set": _npz_prediction_set, "shares": npz_shares, "row_scores": npz_row_scores}

    def menu(self, head: Head) -> Menu:
        """Depends on whether the head is dense."""
        return _DENSE if head.grid else _MENU

    def map_classes(self, head: Head, output: str) -> int | None:
        """K of `prediction`."""
        return len(head.labels) if output == "prediction" else None

    def map_range(self, head: Head, submodels: int, output: str) -> MapRange | None:
        """Entropies are from 0 to ln K, mutual information to ln min(N, K)."""
        if output in ("entropy", "expected_entropy"):
            return MapRange(0.0, math.log(len(head.labels)))
        return MapRange(0.0, math.log(min(submodels, len(head.labels)))) if output == "mutual_information" else None
