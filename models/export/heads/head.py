"""The compiler's interface to a task; each kind of task has a file in this folder."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from app.contract.tasks import TASKS as CONTRACT_TASKS
from app.contract.tasks import TaskName
from app.contract.tensor import Tensor as ContractTensor
from models.export.options import ExportOptions


class Head(nn.Module):
    """Wraps the body of a graph of N submodels: natural units [B, …] in, everything in float32 out.

    Args:
        body: [B, …] → [N·B, …], submodel-major.
        preprocess: see `models.export.preprocess`.

    The temperature T is a buffer that becomes a named initializer of the file.
    """

    OUTPUTS: tuple[str, ...]
    has_temperature = True

    temperature: Tensor

    def __init__(self, body: nn.Module, submodels: int, preprocess: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.body = body
        self.submodels = submodels
        # The exporter drops a division by 1 and merges equal constants; the file's temperature is set afterwards.
        self.register_buffer("temperature", torch.tensor(1.6180340))

    def _by_submodel(self, folded: Tensor) -> Tensor:
        """[N·B, …] → [B, N, …]."""
        return folded.reshape(self.submodels, -1, folded.shape[-1]).permute(1, 0, 2)


@dataclass(frozen=True)
class HeadBuilder:
    """Builds the head of one network around any of its plans."""

    outputs: tuple[ContractTensor, ...]
    """Outputs of the graph, in order."""
    build: Callable[[nn.Module, int, nn.Module], Head]
    """From the body of a graph, the number of submodels and `Preprocess`."""


class TaskExporter(ABC):
    """One kind of answer: how the options name it, its head, and what the contract says of it."""

    task: ClassVar[TaskName]
    by_default: ClassVar[bool] = False
    """Whether it is meant where the options name answers of its kind, and no task."""

    @property
    def named_by(self) -> str:
        """The field of the options that names its answers."""
        return CONTRACT_TASKS[self.task].answers

    @abstractmethod
    def builder(self, widths: set[int], options: ExportOptions) -> HeadBuilder:
        """The builder for networks of these widths, the numbers that each gives for a row.

        Raises:
            ValueError: labels, targets or precision do not fit them.
        """

    @abstractmethod
    def contract_fields(self, options: ExportOptions) -> dict[str, Any]:
        """The fields of a contract that only this task has."""


def common_width(widths: set[int]) -> int:
    """The width of all networks.

    Raises:
        ValueError: they differ.
    """
    if len(widths) > 1:
        raise ValueError(f"network: expected all networks to give as many numbers, got {sorted(widths)}")
    return next(iter(widths))
