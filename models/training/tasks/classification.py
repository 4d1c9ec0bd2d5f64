"""Classification: K logits, and their cross-entropy."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from models.data import Dataset
from models.training.tasks.task import TaskTrainer


class ClassificationTrainer(TaskTrainer):
    """Answers are classes."""

    def answers(self, dataset: Dataset) -> int:
        """K."""
        return len(dataset.classes)

    def loss(self, network: nn.Module, found: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in nats, of logits [B, K] and classes [B]."""
        return F.cross_entropy(found, labels)

    def export_options(self, dataset: Dataset) -> dict[str, Any]:
        """The classes' names."""
        return {"labels": dataset.classes}
