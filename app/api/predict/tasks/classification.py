"""Answers of a classifier: labels, probabilities and prediction sets."""

from typing import Any, ClassVar

import numpy as np

from app.api.predict.menu import Menu
from app.api.predict.tasks.task import Arrays, JsonRows, OutputSelection, TaskAnswers, set_writer
from app.contract.schema import Contract
from app.contract.tasks.classification import prediction_set_members
from app.engine.model import Model

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
    },
    on_request=("logits",),
)


def _json_prediction(rows: JsonRows, model: Model, _: OutputSelection, found: Arrays) -> None:
    labels = model.contract.labels
    for row, index, probabilities in zip(rows, found["prediction"].tolist(), found["probabilities"]):
        row["label"], row["index"], row["confidence"] = labels[index], index, probabilities[index]


def _json_submodels(rows: JsonRows, model: Model, _: OutputSelection, found: Arrays) -> None:
    labels, values = model.contract.labels, found["submodels"]
    for row, members, indices in zip(rows, values, values.argmax(axis=-1).tolist()):
        row["submodels"] = [
            {"label": labels[index], "index": index, "probabilities": probabilities}
            for index, probabilities in zip(indices, members)
        ]


def _npz_prediction_set(_: Model, selection: OutputSelection, found: Arrays) -> Arrays:
    arrays: dict[str, Any] = {}
    for one in selection.regions:
        order, counts = prediction_set_members(one, found["probabilities"])
        inside = np.empty(order.shape, bool)  # filled as a whole: order is a permutation
        np.put_along_axis(inside, order, np.arange(order.shape[1]) < counts[:, None], axis=1)
        arrays = {"prediction_set": inside, "prediction_set.coverage": one.coverage}
    return arrays


class ClassificationAnswers(TaskAnswers):
    """All classifiers have the same menu; a response holds one prediction set."""

    menus = (_MENU,)
    json: ClassVar = {
        "prediction": _json_prediction,
        "submodels": _json_submodels,
        "prediction_set": set_writer(prediction_set_members),
    }
    npz: ClassVar = {"prediction_set": _npz_prediction_set}

    def menu(self, contract: Contract) -> Menu:
        """The same for every classifier."""
        return _MENU
