"""What /predict must know of a task; each kind of task is a file beside this one."""

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
    """What a request wants of a model."""

    chosen: tuple[str, ...]
    """The outputs, in the menu's order."""
    needed: tuple[str, ...]
    """The graph's outputs that they are written from."""
    policy: DecisionPolicy | None
    """The request's own."""
    regions: tuple[Any, ...]
    """The prediction sets or intervals of the model's calibration that are wanted, as its task has them."""


JsonWriter = Callable[[JsonRows, Model, OutputSelection, Arrays], None]
"""Gives each row its part of the answer."""
NpzWriter = Callable[[Model, OutputSelection, Arrays], Arrays]
"""The arrays of an output by name."""


class TaskAnswers(ABC):
    """How the answers of one kind of task are chosen and written."""

    menus: ClassVar[tuple[Menu, ...]]
    """All that there are."""
    json: ClassVar[Mapping[str, JsonWriter]]
    """Of outputs that are not written as the graph gave them; `percentiles` and `decision` are every task's."""
    npz: ClassVar[Mapping[str, NpzWriter]]
    """The same for arrays."""

    @abstractmethod
    def menu(self, contract: Contract) -> Menu:
        """What can be asked of a model."""

    @abstractmethod
    def regions(self, calibration: Calibration) -> tuple[Any, ...]:
        """The prediction sets or intervals that a calibration promises."""

    @abstractmethod
    def default_regions(self, calibration: Calibration) -> tuple[Any, ...]:
        """Those of them that are answered when a request names no coverage."""


def put(rows: JsonRows, name: str, values: Iterable[Any] | None) -> None:
    """Gives each row its value, or all of them null."""
    for row, value in zip(rows, [None] * len(rows) if values is None else values):
        row[name] = value
