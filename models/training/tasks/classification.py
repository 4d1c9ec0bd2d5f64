"""Classification: K logits, and their cross-entropy."""

from typing import Any

import torch
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
        """Cross-entropy in nats, the mean over rows and cells, of logits [B, K, …] and classes [B, …], or probabilities
        [B, K, …].

        Raises:
            ValueError: the network and the labels have another grid.
        """
        grid = labels.shape[2:] if labels.is_floating_point() else labels.shape[1:]
        if found.shape[2:] != grid:
            raise ValueError(f"the network answers for {_grid(found.shape[2:])}, the labels are those of {_grid(grid)}")
        return F.cross_entropy(found, labels)

    def export_options(self, dataset: Dataset) -> dict[str, Any]:
        """The classes' names."""
        return {"labels": dataset.classes}


def _grid(sizes: torch.Size) -> str:
    return f"{'×'.join(map(str, sizes))} cells" if sizes else "rows"
