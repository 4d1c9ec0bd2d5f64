"""The head of a classifier: probabilities of K classes, and their uncertainty."""

from collections.abc import Sequence

import torch
from torch import Tensor

from app.contract.head import Head
from app.contract.tasks import classification
from app.contract.tensor import Axis
from models.export.heads.head import TaskExporter, by_submodel, over_grid
from models.export.heads.mixture import log_sum_exp, mixture, two_sided
from models.export.options import HeadOptions


class ClassificationExporter(TaskExporter):
    """Named by `labels`, unless the options name another task."""

    task = "classification"
    by_default = True

    def head(self, name: str, width: int, grid: Sequence[Axis], options: HeadOptions) -> Head:
        labels = tuple(options.labels or ())
        if len(labels) == width == 1:
            raise ValueError(
                "labels: a network of one logit tells two classes apart, got 1 label: name both, first that of a "
                "negative logit; or give the task multilabel, in which a label is on or off"
            )
        if (classes := max(width, 2)) != len(labels):
            raise ValueError(f"labels: the network has {classes} classes, got {len(labels)} labels")
        return Head(name=name, task=self.task, grid=tuple(grid), labels=labels, outputs=classification.outputs(grid))

    def outputs(self, head: Head, raw: Tensor, submodels: int, temperature: Tensor) -> tuple[Tensor, ...]:
        """Prediction [B, *G], probabilities [B, K, *G], submodels [B, N, K, *G], four scores [B, *G], logits; of a
        dense head the shares [B, K] and the means [B] of confidence and scores over the grid.

        For scores see `models.export.heads.mixture`, and energy, the mean of −logsumexp(logits_n).
        """
        logits = by_submodel(two_classes(raw), submodels, len(head.grid))
        classes = -1 - len(head.grid)
        found = mixture(logits, temperature, classes)
        energy = 0.0 - log_sum_exp(logits, classes, of_map=bool(head.grid)).mean(dim=1)
        scores = (found.entropy, found.expected_entropy, found.mutual_information, energy)
        prediction = found.mean.argmax(dim=classes)
        of_cells = (prediction, found.mean, found.submodels, *scores, logits)
        if not head.grid:
            return of_cells
        confidence = found.mean.amax(dim=classes)
        named = prediction.unsqueeze(1) == torch.arange(len(head.labels)).reshape(-1, *[1] * len(head.grid))
        shares = over_grid(named.float(), len(head.grid))
        return (*of_cells, shares, *(over_grid(score, len(head.grid)) for score in (confidence, *scores)))


def two_classes(logits: Tensor) -> Tensor:
    """One logit [B, 1, …] as those of two classes [B, 2, …], the second being that of the logit; others unchanged."""
    if logits.shape[1] != 1:
        return logits
    return two_sided(logits[:, 0], dim=1) if logits.ndim > 2 else two_sided(logits[..., 0])
