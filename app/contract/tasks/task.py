"""What a contract must know about a task; each kind of task has a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from numpy.typing import NDArray

from app.contract.contract_model import Score
from app.contract.tensor import Tensor

if TYPE_CHECKING:
    from app.contract.schema import Contract

Arrays = Mapping[str, NDArray[Any]]
"""Outputs of a graph [B, …] by name."""


class Task(ABC):
    """One kind of answer: its outputs, its scores, and what its contracts must hold."""

    name: ClassVar[str]
    answers: ClassVar[Literal["labels", "targets"]]
    """The field of a contract that names the answers."""

    @abstractmethod
    def outputs(self, contract: "Contract") -> tuple[Tensor, ...]:
        """The outputs that the graph must have."""

    @abstractmethod
    def scores(self, contract: "Contract") -> tuple[Score, ...]:
        """The scores that a policy may name; empty if the model cannot say how sure it is."""

    def score_value(self, name: Score, found: Arrays) -> NDArray[Any]:
        """The values [B] of a score, one for each row; by default the graph's output of that name."""
        return found[name]

    @abstractmethod
    def validate(self, contract: "Contract") -> None:
        """Checks labels, targets, calibration and evaluation against the task.

        Raises:
            ValueError: one of them does not belong to this task; the message names the field.
        """
