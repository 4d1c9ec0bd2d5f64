"""The part of the graph around the network: normalisation before it, answers and their uncertainty after it."""

from collections.abc import Sequence
from math import e, log, pi

import numpy as np
import torch
from torch import Tensor, nn

from app.contract.tasks import classification, regression

Normalise = tuple[float | Sequence[float], float | Sequence[float]]


class Head(nn.Module):
    """What is around the body of a graph, of N submodels: natural units [B, …] in, everything in float32 out.

    Args:
        body: [B, …] → [N·B, …], submodel-major.
        natural: see `Preprocess`.

    The temperature T is a buffer that becomes a named initializer of the file.
    """

    OUTPUTS: tuple[str, ...]
    has_temperature = True

    temperature: Tensor

    def __init__(self, body: nn.Module, submodels: int, natural: nn.Module) -> None:
        super().__init__()
        self.natural = natural
        self.body = body
        self.submodels = submodels
        # The exporter drops a division by 1 and merges equal constants; the file's temperature is set afterwards.
        self.register_buffer("temperature", torch.tensor(1.6180340))

    def _by_submodel(self, folded: Tensor) -> Tensor:
        """[N·B, …] → [B, N, …]."""
        return folded.reshape(self.submodels, -1, folded.shape[-1]).permute(1, 0, 2)


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
        logits = self._by_submodel(two_sided(self.body(self.natural(x))))
        classes = logits.shape[-1]
        log_p = torch.log_softmax(logits / self.temperature, dim=-1)
        p = log_p.exp()
        log_mean = torch.logsumexp(log_p, dim=1) - log(self.submodels)
        mean = p.mean(dim=1)
        entropy = -(mean * log_mean).sum(dim=-1)
        expected_entropy = -(p * log_p).sum(dim=-1).mean(dim=1)
        divergence = (p * (log_p - log_mean.unsqueeze(1))).sum(dim=-1).mean(dim=1)
        energy = -torch.logsumexp(logits, dim=-1).mean(dim=1)
        return (
            mean.argmax(dim=-1),
            mean,
            p,
            entropy.clamp(0.0, _log_below(classes)),
            expected_entropy.clamp(0.0, _log_below(classes)),
            divergence.clamp(0.0, _log_below(min(self.submodels, classes))),
            energy,
            logits,
        )


class Regressor(Head):
    """The outputs of a regressor of D targets; the body gives D means, or D means and D ln variances, in their units.

    T is a factor on predicted variances. The mixture of the submodels' normal distributions N(μ_n, T·σ²_n) has the mean
    μ = mean_n μ_n and the variance mean_n T·σ²_n + mean_n (μ_n − μ)², the law of total variance: aleatoric and
    epistemic (Lakshminarayanan et al. 2017, arXiv 1612.01474, section 2.4). Squares are of differences, since the
    difference of squares loses float32's digits. Entropy is that of the normal distribution with this mean and
    variance, Σ_d ½ ln(2πe·variance_d), and mutual information Σ_d ½ mean_n ln(variance_d / T·σ²_nd), never below 0.
    """

    def __init__(self, body: nn.Module, submodels: int, natural: nn.Module, *, targets: int, aleatoric: bool) -> None:
        super().__init__(body, submodels, natural)
        self.targets = targets
        self.has_temperature = aleatoric
        self.OUTPUTS = tuple(tensor.name for tensor in regression.outputs(aleatoric))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Inputs [B, …] → prediction [B, D], submodels [B, N, D], variance, epistemic variance [B, D]; then aleatoric
        variance [B, D], submodel variances [B, N, D] and three scores [B]."""
        found = self._by_submodel(self.body(self.natural(x)))
        submodels = found[..., : self.targets]
        mean = submodels.mean(dim=1)
        epistemic = (submodels - mean.unsqueeze(1)).square().mean(dim=1)
        if not self.has_temperature:
            return mean, submodels, epistemic, epistemic.clone()
        variances = found[..., self.targets :].exp() * self.temperature
        aleatoric = variances.mean(dim=1)
        variance = aleatoric + epistemic
        entropy = 0.5 * (log(2 * pi * e) + variance.log()).sum(dim=-1)
        expected_entropy = 0.5 * (log(2 * pi * e) + variances.log()).sum(dim=-1).mean(dim=1)
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


def _log_below(count: int) -> float:
    """ln count, as the largest float32 that is not above it: no rounding may carry a score past its bound."""
    nearest = np.float32(log(count))
    return float(nearest if float(nearest) <= log(count) else np.nextafter(nearest, np.float32(0)))


def two_sided(logits: Tensor) -> Tensor:
    """One logit z [B, 1] as two classes by the sigmoid's two sides, [−z/2, z/2]; more logits as they are."""
    return torch.cat([-logits / 2, logits / 2], dim=-1) if logits.shape[-1] == 1 else logits


class Preprocess(nn.Module):
    """From natural units, uint8 or float32 [B, …], to what the network was trained on: (x − mean) / std.

    uint8 is divided by 255 first; mean and std are numbers or one for each channel (axis 1 of `shape`, [B, …]).
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, normalise: Normalise | None, shape: Sequence[int]) -> None:
        super().__init__()
        for index, name in enumerate(("mean", "std")):
            value = None
            if normalise is not None:
                value = torch.tensor(normalise[index], dtype=torch.float32).flatten()
                if len(value) not in (1, shape[1]):
                    raise ValueError(f"normalise: expected 1 or {shape[1]} values for the {name}, got {len(value)}")
                value = value.reshape(1, -1, *[1] * (len(shape) - 2))
            self.register_buffer(name, value)
        if self.std is not None and not bool((self.std > 0).all()):
            raise ValueError(f"normalise: the standard deviation must be positive, got {normalise}")

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            x = x.float() / 255
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        return x
