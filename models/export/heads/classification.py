"""The head of a classifier: probabilities of K classes, and their uncertainty."""

from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.contract.tasks import classification
from models.export.heads.head import Head, HeadBuilder, TaskExporter, common_width
from models.export.options import ExportOptions


class Classifier(Head):
    """The outputs of a classifier.

    With p_n = softmax(logits_n / T) and
    p̄ = mean_n p_n: entropy is H[p̄], expected entropy mean_n H[p_n], and mutual information their difference in
    the form mean_n KL(p_n ‖ p̄), which is exact where the difference of two float32 numbers is not
    (Depeweg et al. 2018, arXiv 1710.07283, for the decomposition).
    """

    OUTPUTS = tuple(tensor.name for tensor in classification.outputs())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Inputs [B, …] → prediction [B], probabilities [B, K], submodels [B, N, K], four scores [B], logits."""
        logits = self._by_submodel(two_sided(self.body(self.preprocess(x))))
        classes = logits.shape[-1]
        # not softmax and then log, which gives −∞ where a probability rounds to 0, and NaN once 0 multiplies it
        log_p = torch.log_softmax(logits / self.temperature, dim=-1)
        p = log_p.exp()
        # the logarithm of the mean from logarithms: a mean that rounds to 0 would give −∞
        log_mean = torch.logsumexp(log_p, dim=1) - log(self.submodels)
        mean = p.mean(dim=1)
        # 0 − x and not −x, which gives −0 where a submodel is certain
        entropy = 0.0 - (mean * log_mean).sum(dim=-1)
        expected_entropy = 0.0 - (p * log_p).sum(dim=-1).mean(dim=1)
        divergence = (p * (log_p - log_mean.unsqueeze(1))).sum(dim=-1).mean(dim=1)
        energy = 0.0 - torch.logsumexp(logits, dim=-1).mean(dim=1)
        return (
            mean.argmax(dim=-1),
            mean,
            p,
            # the uniform distribution over 10 classes has an entropy above ln 10 in float32
            entropy.clamp(0.0, _log_below(classes)),
            expected_entropy.clamp(0.0, _log_below(classes)),
            divergence.clamp(0.0, _log_below(min(self.submodels, classes))),
            energy,
            logits,
        )


class ClassificationExporter(TaskExporter):
    """Named by `labels`."""

    task = "classification"

    def is_named(self, options: ExportOptions) -> bool:
        return options.labels is not None

    def builder(self, widths: set[int], options: ExportOptions) -> HeadBuilder:
        labels = len(options.labels or ())
        for width in sorted(widths):
            if (classes := max(width, 2)) != labels:
                raise ValueError(f"labels: the network has {classes} classes, got {labels} labels")
        common_width(widths)
        return HeadBuilder(classification.outputs(), Classifier)

    def contract_fields(self, options: ExportOptions) -> dict[str, Any]:
        return {"labels": tuple(options.labels or ())}


def _log_below(count: int) -> float:
    """ln count, rounded down to float32, so that no rounding carries a score past its bound."""
    nearest = np.float32(log(count))
    return float(nearest if float(nearest) <= log(count) else np.nextafter(nearest, np.float32(0)))


def two_sided(logits: Tensor) -> Tensor:
    """One logit z [B, 1] as the logits of two classes, [−z/2, z/2], whose softmax is the sigmoid; others unchanged."""
    return torch.cat([-logits / 2, logits / 2], dim=-1) if logits.shape[-1] == 1 else logits
