"""The likelihood of single rows; that fits recover a known scale is in test_calibration."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from models.evaluation.likelihood import (
    binary_cross_entropy,
    fit_label_temperature,
    fit_temperature,
    fit_variance_factor,
    log_mean_labels,
    log_mean_probability,
    log_mixture,
    negative_log_likelihood,
)


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_extreme_logits_give_no_nan_and_no_overflow(size: float) -> None:
    logits = np.array([[[size, -size], [size, -size]], [[size, -size], [-size, size]]], np.float32)
    found = np.exp(log_mean_probability(logits, 1.0))
    np.testing.assert_allclose(found, np.array([[1, 0], [0.5, 0.5]]))


def test_it_is_the_mean_of_probabilities_and_not_of_logits() -> None:
    logits = np.log(np.array([[[0.9, 0.1], [0.2, 0.8]]]))
    np.testing.assert_allclose(np.exp(log_mean_probability(logits, 1.0)), [[0.55, 0.45]])
    hot = np.exp(log_mean_probability(logits, 1e6))
    np.testing.assert_allclose(hot, [[0.5, 0.5]], atol=1e-5)


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """Cells as rows: [B, …, 3, 6] as [B · 18, …]."""
    return np.moveaxis(array, (-2, -1), (1, 2)).reshape(-1, *array.shape[1:-2])


def test_cells_are_as_likely_as_rows_without_a_grid() -> None:
    rng = np.random.default_rng(0)
    logits, means = rng.normal(0, 3, (5, 2, 4, 3, 6)), rng.normal(0, 1, (5, 2, 4, 3, 6))
    labels, values = rng.integers(0, 4, (5, 3, 6)), rng.normal(0, 3, (5, 4, 3, 6))
    np.testing.assert_allclose(flat(log_mean_probability(logits, 1.7)), log_mean_probability(flat(logits), 1.7))
    found = np.moveaxis(log_mean_labels(logits, 1.7), -1, 2)
    np.testing.assert_allclose(flat(found), log_mean_labels(flat(logits), 1.7))
    variances = np.exp(logits / 3)
    found = log_mixture(values, means, variances)
    assert found.shape == (5, 3, 6)
    np.testing.assert_allclose(flat(found), log_mixture(*map(flat, (values, means, variances))))
    assert fit_temperature(logits, labels) == pytest.approx(fit_temperature(flat(logits), flat(labels)))
    on = values > 0
    assert fit_label_temperature(logits, on) == pytest.approx(fit_label_temperature(flat(logits), flat(on)))
    scaled = fit_variance_factor(*map(flat, (values, means, variances)))
    assert fit_variance_factor(values, means, variances) == pytest.approx(scaled)


def test_logarithms_are_those_of_scipy() -> None:
    logits = np.random.default_rng(0).normal(0, 100, (50, 3, 4))
    expected = logsumexp(log_softmax(logits / 1.7, axis=-1), axis=1) - np.log(3)
    np.testing.assert_allclose(log_mean_probability(logits, 1.7), expected, rtol=1e-13, atol=1e-13)


def test_a_temperature_makes_labels_no_less_likely() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    logits = rng.normal(0, 5, (200, 3, 4)) + 5 * np.eye(4)[labels][:, None]

    def nll(temperature: float) -> float:
        return float(-log_mean_probability(logits, temperature)[np.arange(200), labels].mean())

    fitted = fit_temperature(logits, labels)
    assert nll(fitted) <= min(nll(1.0), nll(fitted * 1.1), nll(fitted / 1.1))


def test_a_label_is_two_classes_of_its_own() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 3, (50, 2, 1)), rng.random((50, 1)) < 0.5
    both = np.concatenate([np.zeros_like(logits), logits], axis=-1)  # the same softmax as that of −z/2 and z/2
    np.testing.assert_allclose(log_mean_labels(logits, 2.0)[:, 0], log_mean_probability(both, 2.0), rtol=1e-12)
    classes = labels[:, 0].astype(np.int64)
    assert binary_cross_entropy(logits, labels, 2.0) == pytest.approx(negative_log_likelihood(both, classes, 2.0))
    assert fit_label_temperature(logits, labels) == pytest.approx(fit_temperature(both, classes))


def test_the_likelihood_of_labels_is_a_mean_over_them() -> None:
    p = np.array([[[0.9, 0.2], [0.7, 0.4]]])  # in the mean 0.8 and 0.3
    logits = np.log(p / (1 - p))
    assert binary_cross_entropy(logits, np.array([[1, 0]]), 1.0) == pytest.approx(-(np.log(0.8) + np.log(0.7)) / 2)
    extreme = np.array([[[1e4, -1e4]]], np.float32)
    assert binary_cross_entropy(extreme, np.array([[True, False]]), 1.0) == 0
    assert binary_cross_entropy(extreme, np.array([[False, True]]), 1.0) == 1e4
