"""The compiler's interface to a task; each kind of task has a file in this folder."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from app.contract.head import Head
from app.contract.tasks import TASKS as CONTRACT_TASKS
from app.contract.tasks import TaskName
from app.contract.tensor import Axis
from models.export.options import HeadOptions


class TaskExporter(ABC):
    """One kind of answer: how the options name it, what the contract says of its head, and its outputs in the graph."""

    task: ClassVar[TaskName]
    by_default: ClassVar[bool] = False
    """Whether it is meant where the options name answers of its kind, and no task."""

    @property
    def named_by(self) -> str:
        """The field of the options that names its answers."""
        return CONTRACT_TASKS[self.task].answers

    @abstractmethod
    def head(self, name: str, width: int, grid: Sequence[Axis], options: HeadOptions) -> Head:
        """The head of a network that gives [B, width, *grid].

        Raises:
            ValueError: labels or targets do not fit it.
        """

    @abstractmethod
    def outputs(self, head: Head, raw: Tensor, submodels: int, temperature: Tensor) -> tuple[Tensor, ...]:
        """The outputs of a head, in the order of its contract, from what the network gives for N submodels.

        Args:
            raw: [N·B, K, *G], submodel-major; K classes, labels or numbers.
            temperature: a scalar, of no use if the head has none.
        """


def over_grid(values: Tensor, grid: int) -> Tensor:
    """The mean over the cells: [B, …, *G] → [B, …]."""
    # one axis after the other: over 74,000 cells at once onnxruntime's mean is off by 3e-5 of its value
    for _ in range(grid):
        values = values.mean(dim=-1)
    return values


def by_submodel(folded: Tensor, submodels: int, grid: int) -> Tensor:
    """[N·B, K, *G] → [B, N, K, *G].

    Args:
        grid: how many axes G has.
    """
    if not grid:
        return folded.reshape(submodels, -1, folded.shape[-1]).permute(1, 0, 2)
    found: Tensor = folded.unflatten(0, (submodels, -1)).transpose(0, 1)
    return found
