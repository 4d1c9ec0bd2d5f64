import numpy as np
import pytest

from models.export.verification.classification import classifier_reference


def test_the_reference_is_the_definition() -> None:
    logits = np.log([[[0.5, 0.5], [0.25, 0.75]]])  # one row, two submodels
    found = classifier_reference(logits, 1.0)
    mean = np.array([0.375, 0.625])
    entropy = -(mean * np.log(mean)).sum()
    expected = (np.log(2) - 0.25 * np.log(0.25) - 0.75 * np.log(0.75)) / 2
    np.testing.assert_allclose(found["probabilities"], [mean])
    assert found["prediction"].tolist() == [1]
    assert found["entropy"] == pytest.approx(entropy)
    assert found["expected_entropy"] == pytest.approx(expected)
    assert found["mutual_information"] == pytest.approx(entropy - expected)
    assert found["energy"] == pytest.approx(0, abs=1e-12)  # minus ln Σ exp: the logits are ln p


def test_a_temperature_flattens() -> None:
    logits = np.array([[[4.0, 0.0]]])
    assert classifier_reference(logits, 2.0)["probabilities"][0, 0] == pytest.approx(1 / (1 + np.exp(-2)))
