"""What a contract must know about a task; each kind of task has a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from numpy.typing import NDArray

from app.contract.contract_model import ContractModel, Score
from app.contract.tensor import Tensor

if TYPE_CHECKING:
    from app.contract.schema import Contract

Arrays = Mapping[str, NDArray[Any]]
"""Outputs of a graph [B, …] by name."""


class Task(ABC):
    """One kind of answer: its outputs, its scores, and what its contracts must hold."""

    name: ClassVar[str]
    evaluation: ClassVar[type[ContractModel]]
    """The class of a contract's evaluation."""
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

    def _check_evaluation(self, contract: "Contract") -> None:
        if contract.evaluation is not None and not isinstance(contract.evaluation, self.evaluation):
            raise ValueError(f"evaluation must be that of the task {self.name}")

    def _check_calibration(self, contract: "Contract", alien: Literal["intervals", "prediction_sets"]) -> None:
        if contract.calibration is not None and getattr(contract.calibration, alien):
            raise ValueError(f"calibration must be that of the task {self.name}")
