"""What training needs to know about a task; each kind of task has a file in this folder."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from models.data import Dataset

if TYPE_CHECKING:
    from models.training.batches import Batches
    from models.training.recipe import Recipe


class TaskTrainer(ABC):
    """One kind of answer: the network's outputs and the loss."""

    @abstractmethod
    def answers(self, dataset: Dataset) -> int:
        """K classes or labels, or D targets."""

    def outputs(self, answers: int) -> int:
        """The last layer's outputs for a row or cell, given the number of answers; by default one for each."""
        return answers

    def complete(self, network: nn.Module, recipe: "Recipe") -> nn.Module:
        """Wraps a network in what the task needs; by default nothing."""
        return network

    def fit_scaling(self, network: nn.Module, batches: "Batches") -> None:  # noqa: B027 - most tasks scale nothing
        """Fits the network's scaling to the training rows; by default nothing: inputs are normalised as the recipe
        says."""

    @abstractmethod
    def loss(self, network: nn.Module, found: Tensor, labels: Tensor) -> Tensor:
        """The mean loss over a batch, given the network from `complete` and its outputs."""

    @abstractmethod
    def export_options(self, dataset: Dataset) -> dict[str, Any]:
        """The fields of `ExportOptions` about the answers."""
