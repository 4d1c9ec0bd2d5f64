"""What /predict must know about a task; each kind of task has a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from app.api.predict.menu import Menu
from app.contract.calibration import Calibration
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

    @abstractmethod
    def regions(self, calibration: Calibration) -> tuple[Any, ...]:
        """The prediction sets or intervals that a calibration guarantees."""

    @abstractmethod
    def default_regions(self, calibration: Calibration) -> tuple[Any, ...]:
        """The regions in the response if a request names no coverage."""


def put(rows: JsonRows, name: str, values: Iterable[Any] | None) -> None:
    """Gives each row its value, or null if there are no values."""
    for row, value in zip(rows, [None] * len(rows) if values is None else values):
        row[name] = value
