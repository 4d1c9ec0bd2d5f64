"""Regression: a mean and a variance for each target, scaled by the training rows, and their negative log-likelihood."""

from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from models.data import Dataset
from models.networks.gaussian import Gaussian
from models.training.tasks.task import TaskTrainer

if TYPE_CHECKING:
    from models.training.batches import Batches
    from models.training.recipe import Recipe


class RegressionTrainer(TaskTrainer):
    """Answers are D numbers, each with a variance: networks are `Gaussian`."""

    def answers(self, dataset: Dataset) -> int:
        """D."""
        return len(dataset.targets)

    def outputs(self, answers: int) -> int:
        """A mean and a ln variance for each target."""
        return 2 * answers

    def complete(self, network: nn.Module, recipe: "Recipe") -> nn.Module:
        """The network with scaling around it."""
        return Gaussian(network, recipe.classes, recipe.input_shape)

    def fit_scaling(self, network: nn.Module, batches: "Batches") -> None:
        """Means and standard deviations of the training rows only."""
        cast(Gaussian, network).fit(*batches.whole())

    def loss(self, network: nn.Module, found: Tensor, labels: Tensor) -> Tensor:
        """See `Gaussian.loss`."""
        return cast(Gaussian, network).loss(found, labels)

    def export_options(self, dataset: Dataset) -> dict[str, Any]:
        """The targets' names and units."""
        return {"targets": dataset.targets}
