"""The head of a regressor: the mean and variance of D targets, and their uncertainty."""

from collections.abc import Sequence
from math import e, log, pi

from torch import Tensor

from app.contract.head import Head, Target
from app.contract.tasks import regression
from app.contract.tensor import Axis
from models.export.heads.head import TaskExporter, by_submodel, over_grid
from models.export.options import HeadOptions


class RegressionExporter(TaskExporter):
    """Named by `targets`."""

    task = "regression"
    by_default = True

    def head(self, name: str, width: int, grid: Sequence[Axis], options: HeadOptions) -> Head:
        targets = tuple(Target(name=target, unit=unit) for target, unit in options.targets or ())
        if width not in (len(targets), 2 * len(targets)):
            raise ValueError(
                f"targets: the network gives {width} numbers, expected a mean for each of the {len(targets)} targets, "
                "or a mean and a ln variance"
            )
        found = regression.outputs(width == 2 * len(targets), grid)
        return Head(name=name, task=self.task, grid=tuple(grid), targets=targets, outputs=found)

    def outputs(self, head: Head, raw: Tensor, submodels: int, temperature: Tensor) -> tuple[Tensor, ...]:
        """Prediction [B, D, *G], submodels [B, N, D, *G], variance, epistemic variance [B, D, *G]; then aleatoric
        variance [B, D, *G], submodel variances [B, N, D, *G] and three scores [B, *G]; of a dense head the means of
        prediction [B, D], submodels [B, N, D] and scores [B] over the grid.

        The network gives D means, or D means and D ln variances, in their units, and T is a factor on predicted
        variances. The mixture of the submodels' normal distributions N(μ_n, T·σ²_n) has the mean μ = mean_n μ_n and the
        variance mean_n T·σ²_n + mean_n (μ_n − μ)², the law of total variance: aleatoric and epistemic (Lakshminarayanan
        et al. 2017, arXiv 1612.01474, section 2.4). Squares are of differences, since the difference of squares loses
        float32's digits. Entropy is that of the normal distribution with this mean and variance,
        Σ_d ½ ln(2πe·variance_d), and mutual information Σ_d ½ mean_n ln(variance_d / T·σ²_nd), never below 0.
        """
        grid, targets = len(head.grid), len(head.targets)
        found = by_submodel(raw, submodels, grid)
        axis = -1 - grid  # of the targets
        means = found.narrow(axis, 0, targets) if grid else found[..., :targets]
        mean = means.mean(dim=1)
        epistemic = (means - mean.unsqueeze(1)).square().mean(dim=1)
        of_rows = (over_grid(mean, grid), over_grid(means, grid)) if grid else ()
        if not head.has_temperature:
            # ONNX gives a value one name, so two outputs are two
            return mean, means, epistemic, epistemic.clone(), *of_rows
        logarithms = found.narrow(axis, targets, targets) if grid else found[..., targets:]
        variances = logarithms.exp() * temperature
        aleatoric = variances.mean(dim=1)
        variance = aleatoric + epistemic
        entropy = 0.5 * (log(2 * pi * e) + variance.log()).sum(dim=axis)
        expected_entropy = 0.5 * (log(2 * pi * e) + variances.log()).sum(dim=axis).mean(dim=1)
        # the logarithm of a ratio: the difference of two entropies would cancel
        divergence = 0.5 * (variance.unsqueeze(1) / variances).log().sum(dim=axis).mean(dim=1)
        scores = (entropy, expected_entropy, divergence.clamp(min=0.0))
        of_cells = (mean, means, variance, epistemic, aleatoric, variances, *scores)
        return (*of_cells, *of_rows, *(over_grid(score, grid) for score in scores if grid))
