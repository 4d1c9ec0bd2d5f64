"""The likelihood of labels under a mixture of submodels, and the shared scale of all submodels that maximises it. No
torch here.

*G are the axes of a grid, if there is one: of dense rows every cell has a likelihood, and means are those over cells.
"""

from collections.abc import Callable
from math import exp, log, pi
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.floating[Any]]

TEMPERATURES = (0.05, 20.0)
"""Between these a temperature is searched for."""
VARIANCE_FACTORS = (0.05**2, 20.0**2)
"""The same for the factor on variances; on standard deviations it is that of temperatures."""
_EDGE = 1.01


def log_mean_probability(logits: Floats, temperature: float) -> NDArray[np.float64]:
    """ln p̄ [B, K, *G] of logits [B, N, K, *G]: each submodel's softmax at one temperature, then the mean; float64."""
    scaled = logits.astype(np.float64) / temperature
    # in logarithms throughout: a p̄ that underflows to 0 would make the NLL infinite
    return _log_mean(scaled - _log_sum(scaled, axis=2))


def log_mixture(truth: Floats, means: Floats, variances: Floats) -> NDArray[np.float64]:
    """ln density [B, *G] of true values [B, D, *G] under the mixture of the submodels' normal distributions; float64.

    Means and variances [B, N, D, *G], targets independent given the submodel: ln mean_n Π_d 𝒩(y_d; μ_nd, σ²_nd)
    (Lakshminarayanan et al. 2017, arXiv 1612.01474, section 2.4).
    """
    error, spread = truth.astype(np.float64)[:, None] - means, variances.astype(np.float64)
    # a value far from every mean has a density of 0 in floating point, but a finite logarithm
    return _log_mean(-0.5 * (log(2 * pi) + np.log(spread) + np.square(error) / spread).sum(axis=2))


def negative_log_likelihood(logits: Floats, labels: NDArray[np.int64], temperature: float) -> float:
    """Mean of −ln p̄_y in nats, logits [B, N, K, *G] and classes [B, *G]."""
    return float(-np.take_along_axis(log_mean_probability(logits, temperature), labels[:, None], axis=1).mean())


def fit_temperature(logits: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature shared by all submodels that minimises the NLL of the averaged probability.

    logits [B, N, K, *G], labels [B, *G]; of a large grid a sample does, see `models.evaluation.cells`. Scaling the
    submodels rather than their mean keeps H[p̄] = E[H] + MI (Rahaman & Thiery 2021, arXiv 2007.08792, on why to fit the
    average). Between 0.05 and 20.
    """
    return _minimise(lambda temperature: negative_log_likelihood(logits, labels, temperature), TEMPERATURES)


def log_mean_labels(logits: Floats, temperature: float) -> NDArray[np.float64]:
    """ln of the mean probability of each label to be off and on [B, K, *G, 2], logits [B, N, K, *G], in float64."""
    half = logits.astype(np.float64) / 2
    return np.moveaxis(log_mean_probability(np.stack([-half, half], axis=2), temperature), 1, -1)


def binary_cross_entropy(logits: Floats, labels: NDArray[Any], temperature: float) -> float:
    """Mean over rows and labels of −ln p̄ of what is true, in nats; logits [B, N, K, *G], labels [B, K, *G] of 0 and 1.

    A mean over labels and no sum, so that models of different K compare, and it with the entropy of a row.
    """
    log_p = log_mean_labels(logits, temperature)
    return float(-np.where(labels == 1, log_p[..., 1], log_p[..., 0]).mean())


def fit_label_temperature(logits: Floats, labels: NDArray[Any]) -> float:
    """As `fit_temperature`, for labels [B, K, *G] that are each on or off."""
    return _minimise(lambda temperature: binary_cross_entropy(logits, labels, temperature), TEMPERATURES)


def fit_variance_factor(truth: Floats, means: Floats, variances: Floats) -> float:
    """The factor on all predicted variances that minimises the NLL of the mixture of the submodels.

    True values [B, D, *G], means and variances [B, N, D, *G]. Between 0.05² and 20².
    """
    return _minimise(
        lambda factor: float(-log_mixture(truth, means, factor * variances.astype(np.float64)).mean()),
        VARIANCE_FACTORS,
    )


def edge(scale: float, bounds: tuple[float, float]) -> Literal["lowest", "highest"] | None:
    """The end of its range that a fitted scale lies at, within a hundredth: the best one lies beyond."""
    lowest, highest = bounds
    return "lowest" if scale < lowest * _EDGE else "highest" if scale > highest / _EDGE else None


def _log_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logarithm of the mean over submodels, axis 1, of what has the logarithms `values`."""
    return np.asarray(_log_sum(values, axis=1)[:, 0] - log(values.shape[1]))


def _log_sum(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """As scipy's `logsumexp` of finite numbers, axis kept, in a sixth of its time on a grid."""
    largest = values.max(axis=axis, keepdims=True)
    return np.asarray(largest + np.log(np.exp(values - largest).sum(axis=axis, keepdims=True)))


def _minimise(loss: Callable[[float], float], within: tuple[float, float]) -> float:
    """Searches in the logarithm: a factor of 2 up is as far as one of 2 down."""
    lowest, highest = within
    found = minimize_scalar(
        lambda exponent: loss(exp(exponent)),
        bounds=(log(lowest), log(highest)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return exp(float(found.x))
