"""Multilabel: a logit for each of K labels, and their binary cross-entropy."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.data import Dataset
from models.training.tasks.task import TaskTrainer


class MultilabelTrainer(TaskTrainer):
    """Answers are labels, each on or off."""

    def answers(self, dataset: Dataset) -> int:
        """K."""
        return len(dataset.classes)

    def loss(self, network: nn.Module, found: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy in nats, the mean over rows and labels, of logits and labels [B, K]."""
        return F.binary_cross_entropy_with_logits(found, labels.to(found.dtype))

    def export_options(self, dataset: Dataset) -> dict[str, Any]:
        """The labels' names."""
        return {"labels": dataset.classes, "task": "multilabel"}
