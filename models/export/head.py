"""The part of the graph around the network: normalisation before it, probabilities and uncertainty after it."""

from collections.abc import Sequence
from math import log

import numpy as np
import torch
from torch import Tensor, nn

from app.contract.schema import classifier_outputs

Normalise = tuple[float | Sequence[float], float | Sequence[float]]


class Classifier(nn.Module):
    """Natural units in, the outputs of a classifier out, all computed in float32.

    The temperature T is a buffer that becomes a named initializer of the file. With p_n = softmax(logits_n / T) and
    p̄ = mean_n p_n: entropy is H[p̄], expected entropy mean_n H[p_n], and mutual information their difference in
    the form mean_n KL(p_n ‖ p̄), which is exact where the difference of two float32 numbers is not
    (Depeweg et al. 2018, arXiv 1710.07283, for the decomposition).
    """

    OUTPUTS = tuple(tensor.name for tensor in classifier_outputs())

    temperature: Tensor

    def __init__(self, body: nn.Module, submodels: int, natural: nn.Module) -> None:
        super().__init__()
        self.natural = natural
        self.body = body
        self.submodels = submodels
        # The exporter drops a division by 1 and merges equal constants; the file's temperature is set afterwards.
        self.register_buffer("temperature", torch.tensor(1.6180340))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Inputs [B, …] → prediction [B], probabilities [B, K], submodels [B, N, K], four scores [B], logits."""
        folded = two_sided(self.body(self.natural(x)))
        classes = folded.shape[-1]
        logits = folded.reshape(self.submodels, -1, classes).permute(1, 0, 2)
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


def _log_below(count: int) -> float:
    """ln count, as the largest float32 that is not above it: no rounding may carry a score past its bound."""
    nearest = np.float32(log(count))
    return float(nearest if float(nearest) <= log(count) else np.nextafter(nearest, np.float32(0)))


def two_sided(logits: Tensor) -> Tensor:
    """One logit z [B, 1] as two classes by the sigmoid's two sides, [−z/2, z/2]; more logits as they are."""
    return torch.cat([-logits / 2, logits / 2], dim=-1) if logits.shape[-1] == 1 else logits


class Natural(nn.Module):
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
