"""What /predict must know about a task; each kind of task has a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.api.predict.menu import Menu
from app.contract.calibration import Calibration, PredictionSet
from app.contract.decisions import DecisionPolicy
from app.contract.schema import Contract
from app.engine.model import Model

Arrays = dict[str, NDArray[Any]]
"""Outputs of a graph [B, …] by name."""
JsonRows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class OutputSelection:
    """What a request wants from a model."""

    chosen: tuple[str, ...]
    """The outputs, in the menu's order."""
    needed: tuple[str, ...]
    """The graph's outputs that they are written from."""
    policy: DecisionPolicy | None
    """The request's own policy."""
    regions: tuple[Any, ...]
    """The requested prediction sets or intervals from the model's calibration."""


JsonWriter = Callable[[JsonRows, Model, OutputSelection, Arrays], None]
"""Adds an output to each row of the response."""
NpzWriter = Callable[[Model, OutputSelection, Arrays], Arrays]
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
    def menu(self, contract: Contract) -> Menu:
        """The outputs that a request can choose from a model."""

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

    def write(rows: JsonRows, model: Model, selection: OutputSelection, found: Arrays) -> None:
        if not selection.regions:
            put(rows, "prediction_set", None)
            return
        (one,), labels = selection.regions, model.contract.labels
        order, counts = members(one, found["probabilities"])
        for row, answers, count in zip(rows, order, counts.tolist()):
            row["prediction_set"] = {
                "coverage": one.coverage,
                "labels": [labels[index] for index in answers[:count].tolist()],
            }

    return write


def put(rows: JsonRows, name: str, values: Iterable[Any] | None) -> None:
    """Gives each row its value, or null if there are no values."""
    for row, value in zip(rows, [None] * len(rows) if values is None else values):
        row[name] = value
