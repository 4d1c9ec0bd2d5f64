"""The mean of the submodels' distributions over K classes, and its uncertainty, in forms that stay exact in float32.

With p_n = softmax(logits_n / T) and p̄ = mean_n p_n: entropy is H[p̄], expected entropy mean_n H[p_n], and mutual
information their difference in the form mean_n KL(p_n ‖ p̄), which is exact where the difference of two float32 numbers
is not (Depeweg et al. 2018, arXiv 1710.07283, for the decomposition).
"""

from math import log
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Mixture(NamedTuple):
    """What follows from the logits [B, N, …, K, …] of N submodels."""

    mean: Tensor
    """p̄ [B, …, K, …]."""
    submodels: Tensor
    """p_n [B, N, …, K, …]."""
    entropy: Tensor
    """[B, …], as the two that follow, in nats."""
    expected_entropy: Tensor
    mutual_information: Tensor


def mixture(logits: Tensor, temperature: Tensor, axis: int = -1) -> Mixture:
    """The mixture of N distributions over K classes, from logits [B, N, …, K, …].

    Args:
        axis: that of the classes, counted from the end.
    """
    submodels, classes = logits.shape[1], logits.shape[axis]
    # not softmax and then log, which gives −∞ where a probability rounds to 0, and NaN once 0 multiplies it
    log_p = log_softmax(logits / temperature, axis)
    p = log_p.exp()
    # the logarithm of the mean from logarithms: a mean that rounds to 0 would give −∞
    log_mean = log_sum_exp(log_p, 1, of_map=axis != -1) - log(submodels)
    mean = p.mean(dim=1)
    # 0 − x and not −x, which gives −0 where a submodel is certain
    entropy = 0.0 - (mean * log_mean).sum(dim=axis)
    expected_entropy = 0.0 - (p * log_p).sum(dim=axis).mean(dim=1)
    divergence = (p * (log_p - log_mean.unsqueeze(1))).sum(dim=axis).mean(dim=1)
    return Mixture(
        mean,
        p,
        # the uniform distribution over 10 classes has an entropy above ln 10 in float32
        entropy.clamp(0.0, _log_below(classes)),
        expected_entropy.clamp(0.0, _log_below(classes)),
        divergence.clamp(0.0, _log_below(min(submodels, classes))),
    )


def log_softmax(values: Tensor, axis: int) -> Tensor:
    """ln softmax over an axis counted from the end; of maps in plain operations, since onnxruntime's own one takes
    several times as long over another axis than the last."""
    if axis == -1:
        return torch.log_softmax(values, dim=-1)
    apart = values - values.amax(dim=axis, keepdim=True)
    return apart - apart.exp().sum(dim=axis, keepdim=True).log()


def log_sum_exp(values: Tensor, axis: int, *, of_map: bool) -> Tensor:
    """ln Σ exp(values) over an axis; of maps in plain operations, as `log_softmax`."""
    if not of_map:
        return torch.logsumexp(values, dim=axis)
    largest = values.amax(dim=axis, keepdim=True)
    return (values - largest).exp().sum(dim=axis).log() + largest.squeeze(axis)


def two_sided(logits: Tensor, dim: int = -1) -> Tensor:
    """One logit z as those of two classes, [−z/2, z/2], whose softmax is [1 − sigmoid(z), sigmoid(z)]: […] → […, 2, …].

    Args:
        dim: the new axis.
    """
    return torch.stack([-logits / 2, logits / 2], dim=dim)


def _log_below(count: int) -> float:
    """ln count, rounded down to float32, so that no rounding carries a score past its bound."""
    nearest = np.float32(log(count))
    return float(nearest if float(nearest) <= log(count) else np.nextafter(nearest, np.float32(0)))
