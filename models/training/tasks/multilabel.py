"""Multilabel: a logit for each of K labels, and their binary cross-entropy."""

from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.data import Dataset
from models.training.tasks.task import TaskTrainer

if TYPE_CHECKING:
    from models.training.batches import Batches


class MultilabelTrainer(TaskTrainer):
    """Answers are labels, each on or off."""

    def answers(self, dataset: Dataset) -> int:
        """K."""
        return len(dataset.classes)

    def outputs(self, answers: int) -> int:
        """A logit for each label."""
        return answers

    def fit_scaling(self, network: nn.Module, batches: "Batches") -> None:
        """Nothing: inputs are normalised as the recipe says."""

    def loss(self, network: nn.Module, found: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy in nats, the mean over rows and labels, of logits and labels [B, K]."""
        return F.binary_cross_entropy_with_logits(found, labels.to(found.dtype))

    def export_options(self, dataset: Dataset) -> dict[str, Any]:
        """The labels' names."""
        return {"labels": dataset.classes, "task": "multilabel"}
