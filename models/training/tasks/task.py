"""What training must know of a task; each kind of task is a file beside this one."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from models.data import Dataset

if TYPE_CHECKING:
    from models.training.batches import Batches
    from models.training.recipe import Recipe


class TaskTrainer(ABC):
    """One kind of answer: what a network gives for it, and what is minimised."""

    @abstractmethod
    def answers(self, dataset: Dataset) -> int:
        """K classes, or D targets."""

    @abstractmethod
    def outputs(self, answers: int) -> int:
        """How many numbers the last layer gives for a row, of so many classes or targets."""

    def complete(self, network: nn.Module, recipe: "Recipe") -> nn.Module:
        """Puts around a network what the task needs; by default nothing."""
        return network

    @abstractmethod
    def fit_scaling(self, network: nn.Module, batches: "Batches") -> None:
        """Takes from the rows of a training what the network scales with."""

    @abstractmethod
    def loss(self, network: nn.Module, found: Tensor, labels: Tensor) -> Tensor:
        """The mean over a batch, of what `complete` made of a network and what it found."""

    @abstractmethod
    def export_options(self, dataset: Dataset) -> dict[str, Any]:
        """The fields of `ExportOptions` that tell of the answers."""
