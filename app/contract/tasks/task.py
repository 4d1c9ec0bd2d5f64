"""What a contract must know about a task; each kind of task has a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from numpy.typing import NDArray

from app.contract.contract_model import ContractModel, Score
from app.contract.tensor import Tensor

if TYPE_CHECKING:
    from app.contract.head import Head

Arrays = Mapping[str, NDArray[Any]]
"""Outputs of a graph [B, …] by name."""


class Task(ABC):
    """One kind of answer: its outputs, its scores, and what its heads must hold."""

    name: ClassVar[str]
    evaluation: ClassVar[type[ContractModel]]
    """The class of a head's evaluation."""
    dense_evaluation: ClassVar[type[ContractModel] | None] = None
    """That of a dense head's, if it is another one."""
    answers: ClassVar[Literal["labels", "targets"]]
    """The field of a head that names the answers."""

    @abstractmethod
    def outputs(self, head: "Head") -> tuple[Tensor, ...]:
        """The outputs that the graph must have."""

    @abstractmethod
    def scores(self, head: "Head") -> tuple[Score, ...]:
        """The scores that a policy may name; empty if the model cannot say how sure it is."""

    def score_value(self, name: Score, found: Arrays) -> NDArray[Any]:
        """The values [B] of a score of a head that is not dense; by default the graph's output of that name."""
        return found[name]

    def sufficient(self, head: "Head") -> tuple[str, ...]:
        """The outputs that all others follow from, given the temperature: what a recalibration needs of a row. Of tasks
        whose answers have no receipts none, the default."""
        return ()

    @abstractmethod
    def validate(self, head: "Head") -> None:
        """Checks labels, targets, calibration and evaluation against the task.

        Raises:
            ValueError: one of them does not belong to this task; the message names the field.
        """

    def _check_evaluation(self, head: "Head") -> None:
        wanted = (head.grid and self.dense_evaluation) or self.evaluation
        if head.evaluation is not None and not isinstance(head.evaluation, wanted):
            raise ValueError(f"evaluation must be that of the task {self.name}")

    def _check_calibration(self, head: "Head", alien: Literal["intervals", "prediction_sets"]) -> None:
        if head.calibration is not None and getattr(head.calibration, alien):
            raise ValueError(f"calibration must be that of the task {self.name}")


def row_output(name: str) -> str:
    """The output of a dense head that holds, for each row, what `name` is for each cell."""
    return f"row_{name}"


def row_scores(names: Sequence[Score]) -> tuple[Tensor, ...]:
    """The outputs of a dense head that are the means [B] of scores over the grid."""
    return tuple(
        Tensor(name=row_output(name), dtype="float32", shape=("B",), unit=_UNITS.get(name, "nats")) for name in names
    )


_UNITS: Mapping[Score, str] = {"confidence": "probability"}
