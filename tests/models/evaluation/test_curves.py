import numpy as np
import pytest
from scipy.stats import norm

from app.contract.head import Head
from app.contract.policy import parse, resolve
from models.evaluation import curves, metrics
from tests import graphs
from tests.models.evaluation.answered import CLASSIFIER, REGRESSOR

rng = np.random.default_rng(0)


def with_policy(rules: str) -> Head:
    return CLASSIFIER.model_copy(update={"policy": resolve(parse(rules), [CLASSIFIER])[""]})


def test_bins_are_what_makes_the_calibration_error() -> None:
    confidence = rng.uniform(0.4, 1, 1000)
    right = rng.random(1000) < confidence**2
    found = curves.reliability(metrics.calibration_sums(confidence, right))
    assert [one.confidence for one in found] == sorted(one.confidence for one in found)
    assert len(found) == 9  # the others are empty
    assert sum(one.count for one in found) == 1000
    error = sum(one.count * abs(one.accuracy - one.confidence) for one in found) / 1000
    assert error == pytest.approx(metrics.top_calibration_error(confidence, right), abs=2e-5)


def test_a_risk_is_the_error_among_the_rows_with_the_lowest_scores() -> None:
    entropy = rng.random(1000)
    wrong = rng.random(1000) < entropy
    found = curves.risk_coverage(CLASSIFIER, {"entropy": entropy}, wrong)
    assert set(found) == {"entropy"}
    points = found["entropy"]
    assert [one.coverage for one in points] == [0.01, *(step / 20 for step in range(1, 21))]
    first = wrong[np.argsort(entropy)[:250]].mean()
    assert next(one.risk for one in points if one.coverage == 0.25) == pytest.approx(first, rel=1e-4)
    assert points[-1].risk == pytest.approx(wrong.mean(), rel=1e-4)
    assert points[0].risk < points[10].risk < points[-1].risk


def test_scores_of_the_policy_have_a_curve_each_and_more_confidence_is_less_doubt() -> None:
    sure = np.array([0.9, 0.6, 0.8, 0.7])
    outputs = {"entropy": np.zeros(4), "energy": -sure, "probabilities": np.stack([sure, 1 - sure], axis=1)}
    head = with_policy("reject energy>1, defer confidence<0.5")
    found = curves.risk_coverage(head, outputs, np.array([False, True, False, True]))
    told = {score: [(one.coverage, one.risk) for one in points] for score, points in found.items()}
    assert told["confidence"] == told["energy"] == [(0.25, 0), (0.5, 0), (0.75, 0.33333), (1, 0.5)]
    assert told["entropy"] == [(0.25, 0.5), (0.5, 0.5), (0.75, 0.5), (1, 0.5)]  # all rows are alike


def test_errors_of_a_regressor_are_those_of_each_target() -> None:
    squared = np.array([[1.0, 0.0], [4.0, 16.0]])
    (points,) = curves.error_coverage(REGRESSOR, {"entropy": np.array([0.2, 0.1])}, squared).values()
    assert [(one.coverage, one.rmse) for one in points] == [(0.5, (2.0, 4.0)), (1.0, (1.5811, 2.8284))]
    bare = graphs.regressor(aleatoric=False)[1].head
    assert curves.error_coverage(bare, {}, squared) == {}


def test_levels_hold_their_share_of_values_drawn_from_the_mixture() -> None:
    rows, submodels = 20_000, 3
    means, variances = rng.normal(0, 2, (rows, submodels, 1)), rng.gamma(2, 1, (rows, submodels, 1))
    drawn = rng.integers(0, submodels, rows)
    truth = rng.normal(means[np.arange(rows), drawn], np.sqrt(variances[np.arange(rows), drawn]))
    for one in curves.level_coverage(curves.within_levels(truth, means, variances).mean(axis=1)):
        assert one.coverage == (pytest.approx(one.level, abs=0.015),)


def test_a_level_of_one_normal_distribution_is_its_central_interval() -> None:
    reach = norm.ppf(0.75)  # the central half lies within
    truth = np.array([[reach * 0.999], [reach * 1.001]]) * 3 + 5
    found = curves.within_levels(truth, np.full((2, 1, 1), 5.0), np.full((2, 1, 1), 9.0))
    assert found[4].tolist() == [[True], [False]]
