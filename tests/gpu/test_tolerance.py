"""The tolerance of the checks on a GPU is that of the exporter's verification."""

import numpy as np
import pytest

from models.export.verification.classification import ClassificationVerifier, classifier_reference
from models.export.verification.float16 import LARGEST, USUAL
from tests import artefacts
from tests.gpu import tolerance
from tests.serving import ROOT

LOGITS = np.random.default_rng(0).normal(size=(32, 4, 10)).astype(np.float32)
REFERENCE = classifier_reference(LOGITS, 1.0)
_, CONTRACT = artefacts.read(ROOT / "models" / "repository", "sinusoids-single", 1)


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("off", [1e-7, 1e-5, 1e-3])
def test_a_classifier_is_judged_as_the_verifier_judges(scale: float, off: float) -> None:
    logits = LOGITS * np.float32(scale)
    expected = classifier_reference(logits, 1.0)
    found = {name: values + off if name != "prediction" else values for name, values in expected.items()}
    uncalibrated = CONTRACT.head.model_copy(update={"calibration": None})
    verified = ClassificationVerifier().shares(found, logits, uncalibrated)
    assert tolerance.shares(found, expected, "classification") == pytest.approx(verified)


def test_half_precision_is_judged_as_the_verifier_judges() -> None:
    assert (tolerance.USUAL, tolerance.LARGEST) == (USUAL, LARGEST)
    np.testing.assert_allclose(tolerance.entropy(LOGITS), REFERENCE["entropy"], atol=1e-12)


def test_nan_and_another_class_are_beyond_it() -> None:
    found = {**REFERENCE, "entropy": REFERENCE["entropy"] * np.nan, "prediction": (REFERENCE["prediction"] + 1) % 10}
    told = tolerance.shares(found, REFERENCE, "classification")
    assert told["entropy"] == float("inf")
    assert told["prediction"] > 1
    assert told["probabilities"] == 0


def test_a_regressor_is_judged_by_its_submodels() -> None:
    means, variances = np.full((3, 2, 1), 100.0), np.full((3, 2, 1), 4.0)
    expected = {"submodels": means, "submodel_variances": variances, "entropy": np.zeros(3)}
    found = {**expected, "submodels": means + 2e-3, "submodel_variances": variances * (1 + 1e-6)}
    told = tolerance.shares(found, expected, "regression")
    assert told["submodels"] == pytest.approx(2e-3 / (1e-6 + 1e-3))
    assert told["submodel_variances"] < 1
