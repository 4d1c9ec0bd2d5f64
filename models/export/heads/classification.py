"""The head of a classifier: probabilities of K classes, and their uncertainty."""

from typing import Any

import torch
from torch import Tensor

from app.contract.tasks import classification
from models.export.heads.head import Head, HeadBuilder, TaskExporter, common_width
from models.export.heads.mixture import mixture, two_sided
from models.export.options import ExportOptions


class Classifier(Head):
    """The outputs of a classifier: see `models.export.heads.mixture`, and energy, the mean of −logsumexp(logits_n)."""

    OUTPUTS = tuple(tensor.name for tensor in classification.outputs())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Inputs [B, …] → prediction [B], probabilities [B, K], submodels [B, N, K], four scores [B], logits."""
        logits = self._by_submodel(two_classes(self.body(self.preprocess(x))))
        found = mixture(logits, self.temperature)
        energy = 0.0 - torch.logsumexp(logits, dim=-1).mean(dim=1)
        return (
            found.mean.argmax(dim=-1),
            found.mean,
            found.submodels,
            found.entropy,
            found.expected_entropy,
            found.mutual_information,
            energy,
            logits,
        )


class ClassificationExporter(TaskExporter):
    """Named by `labels`, unless the options name another task."""

    task = "classification"
    by_default = True

    def builder(self, widths: set[int], options: ExportOptions) -> HeadBuilder:
        labels = len(options.labels or ())
        if labels == 1 and widths == {1}:
            raise ValueError(
                "labels: a network of one logit tells two classes apart, got 1 label: name both, first that of a "
                "negative logit; or give the task multilabel, in which a label is on or off"
            )
        for width in sorted(widths):
            if (classes := max(width, 2)) != labels:
                raise ValueError(f"labels: the network has {classes} classes, got {labels} labels")
        common_width(widths)
        return HeadBuilder(classification.outputs(), Classifier)

    def contract_fields(self, options: ExportOptions) -> dict[str, Any]:
        return {"labels": tuple(options.labels or ())}


def two_classes(logits: Tensor) -> Tensor:
    """One logit [B, 1] as those of two classes [B, 2], the second being that of the logit; others unchanged."""
    return two_sided(logits[..., 0]) if logits.shape[-1] == 1 else logits
