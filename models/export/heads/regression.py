"""The head of a regressor: the mean and variance of D targets, and their uncertainty."""

from functools import partial
from math import e, log, pi
from typing import Any

from torch import Tensor, nn

from app.contract import schema
from app.contract.tasks import regression
from models.export.heads.head import Head, HeadBuilder, TaskExporter, common_width
from models.export.options import ExportOptions


class Regressor(Head):
    """The outputs of a regressor of D targets; the body gives D means, or D means and D ln variances, in their units.

    T is a factor on predicted variances. The mixture of the submodels' normal distributions N(μ_n, T·σ²_n) has the mean
    μ = mean_n μ_n and the variance mean_n T·σ²_n + mean_n (μ_n − μ)², the law of total variance: aleatoric and
    epistemic (Lakshminarayanan et al. 2017, arXiv 1612.01474, section 2.4). Squares are of differences, since the
    difference of squares loses float32's digits. Entropy is that of the normal distribution with this mean and
    variance, Σ_d ½ ln(2πe·variance_d), and mutual information Σ_d ½ mean_n ln(variance_d / T·σ²_nd), never below 0.
    """

    def __init__(
        self, body: nn.Module, submodels: int, preprocess: nn.Module, *, targets: int, aleatoric: bool
    ) -> None:
        super().__init__(body, submodels, preprocess)
        self.targets = targets
        self.has_temperature = aleatoric
        self.OUTPUTS = tuple(tensor.name for tensor in regression.outputs(aleatoric))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Inputs [B, …] → prediction [B, D], submodels [B, N, D], variance, epistemic variance [B, D]; then aleatoric
        variance [B, D], submodel variances [B, N, D] and three scores [B]."""
        found = self._by_submodel(self.body(self.preprocess(x)))
        submodels = found[..., : self.targets]
        mean = submodels.mean(dim=1)
        epistemic = (submodels - mean.unsqueeze(1)).square().mean(dim=1)
        if not self.has_temperature:
            return mean, submodels, epistemic, epistemic.clone()  # ONNX gives a value one name, so two outputs are two
        variances = found[..., self.targets :].exp() * self.temperature
        aleatoric = variances.mean(dim=1)
        variance = aleatoric + epistemic
        entropy = 0.5 * (log(2 * pi * e) + variance.log()).sum(dim=-1)
        expected_entropy = 0.5 * (log(2 * pi * e) + variances.log()).sum(dim=-1).mean(dim=1)
        # the logarithm of a ratio: the difference of two entropies would cancel
        divergence = 0.5 * (variance.unsqueeze(1) / variances).log().sum(dim=-1).mean(dim=1)
        return (
            mean,
            submodels,
            variance,
            epistemic,
            aleatoric,
            variances,
            entropy,
            expected_entropy,
            divergence.clamp(min=0.0),
        )


class RegressionExporter(TaskExporter):
    """Named by `targets`."""

    task = "regression"
    by_default = True

    def builder(self, widths: set[int], options: ExportOptions) -> HeadBuilder:
        if options.precision != "float32":
            raise ValueError("precision: a regressor's numbers stay in float32")
        targets, width = len(options.targets or ()), common_width(widths)
        if width not in (targets, 2 * targets):
            raise ValueError(
                f"targets: the network gives {width} numbers, expected a mean for each of the {targets} targets, or a "
                "mean and a ln variance"
            )
        aleatoric = width == 2 * targets
        return HeadBuilder(regression.outputs(aleatoric), partial(Regressor, targets=targets, aleatoric=aleatoric))

    def contract_fields(self, options: ExportOptions) -> dict[str, Any]:
        return {"targets": tuple(schema.Target(name=name, unit=unit) for name, unit in options.targets or ())}
