"""The likelihood of single rows; that fits recover a known scale is in test_calibration."""

import numpy as np
import pytest

from models.evaluation.likelihood import fit_temperature, log_mean_probability


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


def test_a_temperature_makes_labels_no_less_likely() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    logits = rng.normal(0, 5, (200, 3, 4)) + 5 * np.eye(4)[labels][:, None]

    def nll(temperature: float) -> float:
        return float(-log_mean_probability(logits, temperature)[np.arange(200), labels].mean())

    fitted = fit_temperature(logits, labels)
    assert nll(fitted) <= min(nll(1.0), nll(fitted * 1.1), nll(fitted / 1.1))
