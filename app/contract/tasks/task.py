"""What a contract must know of a task; each kind of task is a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from app.contract.contract_model import Score
from app.contract.tensor import Tensor

if TYPE_CHECKING:
    from app.contract.schema import Contract

Arrays = Mapping[str, NDArray[Any]]
"""Outputs of a graph [B, …] by name."""


class Task(ABC):
    """One kind of answer: its outputs, its scores, and what a contract of it must hold."""

    name: ClassVar[str]

    @abstractmethod
    def outputs(self, contract: "Contract") -> tuple[Tensor, ...]:
        """The outputs that the graph must have."""

    @abstractmethod
    def scores(self, contract: "Contract") -> tuple[Score, ...]:
        """The scores of a row that a policy may name; none where the model cannot say how sure it is."""

    @abstractmethod
    def score_values(self, contract: "Contract", found: Arrays) -> dict[Score, NDArray[Any]]:
        """Each of those scores [B], from the graph's outputs."""

    @abstractmethod
    def validate(self, contract: "Contract") -> None:
        """Holds labels, targets, calibration and evaluation against the task.

        Raises:
            ValueError: one of them is not of this task; the message names the field.
        """
