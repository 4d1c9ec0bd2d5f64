"""The head of a multilabel model: a probability for each of K labels, and the uncertainty of each."""

from typing import Any

from torch import Tensor

from app.contract.tasks import multilabel
from models.export.heads.head import Head, HeadBuilder, TaskExporter, common_width
from models.export.heads.mixture import mixture, two_sided
from models.export.options import ExportOptions


class Multilabel(Head):
    """The outputs of a multilabel model: each label is a mixture of two classes, off and on, by itself.

    p̄ = mean_n sigmoid(z_n / T); entropies are Bernoulli's.
    """

    OUTPUTS = tuple(tensor.name for tensor in multilabel.outputs())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Inputs [B, …] → prediction [B, K], probabilities [B, K], submodels [B, N, K], three scores [B, K], logits."""
        logits = self._by_submodel(self.body(self.preprocess(x)))
        found = mixture(two_sided(logits), self.temperature)
        probabilities = found.mean[..., 1]
        return (
            # as a binary classifier at 0.5, which says the first class: off
            (probabilities > 0.5).long(),
            probabilities,
            found.submodels[..., 1],
            found.entropy,
            found.expected_entropy,
            found.mutual_information,
            logits,
        )


class MultilabelExporter(TaskExporter):
    """Named by `labels` and the task."""

    task = "multilabel"

    def builder(self, widths: set[int], options: ExportOptions) -> HeadBuilder:
        labels, width = len(options.labels or ()), common_width(widths)
        if width != labels:
            raise ValueError(f"labels: the network gives {width} logits, one for each label, got {labels} labels")
        return HeadBuilder(multilabel.outputs(), Multilabel)

    def contract_fields(self, options: ExportOptions) -> dict[str, Any]:
        return {"labels": tuple(options.labels or ())}
