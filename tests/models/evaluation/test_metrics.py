import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score, roc_curve

from models.evaluation import metrics

rng = np.random.default_rng(0)


def predictions(rows: int = 500, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    probabilities = rng.dirichlet(np.full(classes, 0.5), rows)
    return probabilities, rng.integers(0, classes, rows)


def test_calibration_error_is_that_of_the_contract() -> None:
    probabilities, labels = predictions()
    expected = metrics.top_calibration_error(probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels)
    assert metrics.calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-6)


def test_bins_add_up_over_chunks() -> None:
    probabilities, labels = predictions()
    confidence, right = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels
    parts = [metrics.calibration_sums(confidence[part], right[part]) for part in (slice(0, 7), slice(7, 500))]
    assert parts[0].shape == (3, metrics.BINS)
    rows, sure, hits = parts[0] + parts[1]
    assert rows.sum() == 500
    assert np.abs(hits - sure).sum() / 500 == pytest.approx(metrics.top_calibration_error(confidence, right))


def test_adaptive_calibration_error_of_one_confidence_is_its_gap() -> None:
    probabilities = np.tile([0.8, 0.2], (300, 1))
    labels = np.arange(300) % 2
    assert metrics.adaptive_calibration_error(probabilities, labels) == pytest.approx(0.3, abs=0.01)


def test_adaptive_calibration_error_has_bins_of_equal_size() -> None:
    probabilities, labels = predictions(15)
    right = probabilities.argmax(axis=-1) == labels
    expected = np.abs(right - probabilities.max(axis=-1)).mean()  # a row a bin
    assert metrics.adaptive_calibration_error(probabilities, labels) == pytest.approx(expected)


def test_brier_of_two_classes_is_twice_that_of_scikit_learn() -> None:
    probabilities, labels = predictions(classes=2)
    expected = 2 * brier_score_loss(labels, probabilities[:, 1])
    assert metrics.brier(probabilities, labels) == pytest.approx(expected)


def test_risk_coverage_area() -> None:
    assert metrics.risk_coverage_area(np.array([0.1, 0.2, 0.3, 0.4]), np.array([False, False, False, True])) == 0.0625
    assert metrics.risk_coverage_area(np.array([0.4, 0.2, 0.3, 0.1]), np.array([True, False, False, False])) == 0.0625
    for wrong in ([True, False], [False, True]):  # the order of equal scores does not matter
        assert metrics.risk_coverage_area(np.zeros(2), np.array(wrong)) == 0.5


def test_disagreement_counts_pairs() -> None:
    assert metrics.disagreement(np.array([[0, 0, 1], [2, 2, 2]])) == pytest.approx(2 / 6)
    assert metrics.disagreement(np.array([[0], [1]])) is None


@pytest.mark.parametrize("scale", [1.0, 1e4])
@pytest.mark.parametrize("digits", [1, 8])  # with ties and without
def test_detection_is_that_of_scikit_learn(scale: float, digits: int) -> None:
    test, ood = rng.normal(0, 1, 400).round(digits) * scale, rng.normal(1, 1, 200).round(digits) * scale
    scores, truth = np.concatenate([test, ood]), np.repeat([0, 1], [400, 200])
    found = metrics.detection(test, ood)
    assert found["auroc"] == pytest.approx(roc_auc_score(truth, scores), abs=1e-6)
    assert found["aupr"] == pytest.approx(average_precision_score(truth, scores), abs=1e-6)
    false, true, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert found["fpr95"] == pytest.approx(false[true >= 0.95].min(), abs=1e-6)
