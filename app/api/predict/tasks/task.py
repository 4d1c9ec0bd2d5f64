"""What /predict must know about a task; each kind of task has a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.api.predict.menu import Menu
from app.api.predict.pictures import MapRange
from app.contract.calibration import Calibration, PredictionSet
from app.contract.contract_model import Score
from app.contract.decisions import DecisionPolicy
from app.contract.head import Head
from app.contract.percentiles import QuantileTable
from app.contract.tasks.task import Arrays, row_output

JsonRows = list[dict[str, Any]]


class OutputSelection(NamedTuple):
    """What a request wants from a head."""

    head: Head
    chosen: tuple[str, ...]
    """The outputs, in the menu's order."""
    needed: tuple[str, ...]
    """The graph's outputs that they are written from, by the graph's names."""
    policies: tuple[DecisionPolicy, ...]
    """The model's or operator's policy, and the request's own, as far as there are any."""
    tables: Mapping[Score, QuantileTable]
    """The quantiles of the head's scores."""
    regions: tuple[Any, ...]
    """The requested prediction sets or intervals from the head's calibration."""


JsonWriter = Callable[[JsonRows, OutputSelection, Arrays], None]
"""Adds an output to each row of the response."""
NpzWriter = Callable[[OutputSelection, Arrays], dict[str, Any]]
"""Returns the arrays of an output by name."""
SetMembers = tuple[NDArray[np.intp], NDArray[np.intp]]


class TaskAnswers(ABC):
    """How the answers of one kind of task are chosen and written."""

    menus: ClassVar[tuple[Menu, ...]]
    """All menus of the task."""
    json: ClassVar[Mapping[str, JsonWriter]]
    """Writers of outputs that differ from the graph's, except `percentiles` and `decision`, which all tasks share."""
    npz: ClassVar[Mapping[str, NpzWriter]]
    """The same for arrays."""

    @abstractmethod
    def menu(self, head: Head) -> Menu:
        """The outputs that a request can choose from a head."""

    def map_classes(self, head: Head, output: str) -> int | None:
        """How many classes a map shows; None if its values are numbers, which is the default."""
        return None

    def map_range(self, head: Head, submodels: int, output: str) -> MapRange | None:
        """The smallest and the largest value that a map can have; None if it has no bounds, which is the default."""
        return None

    def regions(self, calibration: Calibration) -> tuple[Any, ...]:
        """The prediction sets, which is the default, or intervals that a calibration guarantees."""
        return calibration.prediction_sets

    def default_regions(self, calibration: Calibration) -> tuple[Any, ...]:
        """The regions in the response if a request names no coverage; by default the first."""
        return self.regions(calibration)[:1]


def set_writer(members: Callable[[PredictionSet, NDArray[Any]], SetMembers]) -> JsonWriter:
    """Writes the prediction set of each row.

    Args:
        members: given a set and the probabilities [B, K], the answers [B, K] of each row, most probable first, and how
            many of them [B] are in its set.
    """

    def write(rows: JsonRows, selection: OutputSelection, found: Arrays) -> None:
        if not selection.regions:
            put(rows, "prediction_set", None)
            return
        (one,), labels = selection.regions, selection.head.labels
        order, counts = members(one, found["probabilities"])
        for row, answers, count in zip(rows, order, counts.tolist()):
            row["prediction_set"] = {
                "coverage": one.coverage,
                "labels": [labels[index] for index in answers[:count].tolist()],
            }

    return write


def shares(rows: JsonRows, _: OutputSelection, found: Arrays) -> None:
    """Writes the share of the cells that each class has, or in which each label is on."""
    put(rows, "shares", found[row_output("shares")])


def row_scores(rows: JsonRows, selection: OutputSelection, found: Arrays) -> None:
    """Writes the scores of each row."""
    of_rows = selection.head.score_values(found)
    put(rows, "row_scores", [dict(zip(of_rows, values)) for values in zip(*of_rows.values())])


def npz_shares(_: OutputSelection, found: Arrays) -> dict[str, Any]:
    """The same as an array."""
    return {"shares": found[row_output("shares")]}


def npz_row_scores(selection: OutputSelection, found: Arrays) -> dict[str, Any]:
    """The same as arrays."""
    return {f"row_scores.{name}": values for name, values in selection.head.score_values(found).items()}


def put(rows: JsonRows, name: str, values: Iterable[Any] | None) -> None:
    """Gives each row its value, or null if there are no values."""
    for row, value in zip(rows, [None] * len(rows) if values is None else values):
        row[name] = value
