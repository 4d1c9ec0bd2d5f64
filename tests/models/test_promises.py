"""Promises are held against many fresh draws: how often, and by how much, they are kept."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract.calibration import Threshold
from app.contract.part import Score
from app.contract.policy import TOLERANCE
from models.promises import CERTAINTY, COVERAGES, INTERVALS, RISKS, intervals, prediction_sets, risk_bound, thresholds

REPEATS, FRESH = 400, 2000

Floats = NDArray[np.float64]


def lies_within(one: Threshold, values: Floats) -> NDArray[np.bool_]:
    """As a policy has it."""
    if one.score == "confidence":
        return values >= one.value - TOLERANCE * abs(one.value)
    return values <= one.value + TOLERANCE * abs(one.value)


def assert_covers(shares: list[float], target: float, rows: int, slack: float = 0.0) -> None:
    """The mean over repetitions is the promised coverage or up to 1 / (rows + 1) more, within 3 standard errors."""
    error = 3 * np.std(shares) / np.sqrt(len(shares))
    assert target - error <= np.mean(shares) <= target + 1 / (rows + 1) + slack + error


@pytest.mark.parametrize("score", ["entropy", "energy", "confidence"])
@pytest.mark.parametrize("rows", [20, 50, 99])
def test_a_promised_coverage_is_kept_and_hardly_exceeded(score: Score, rows: int) -> None:
    rng = np.random.default_rng(rows)
    draw = {
        "entropy": lambda size: rng.gamma(0.5, 0.4, size),
        "energy": lambda size: rng.normal(-10, 3, size),
        "confidence": lambda size: rng.beta(8, 1, size),
    }[score]
    found: dict[float, list[float]] = {}
    for _ in range(REPEATS):
        for one in thresholds(score, draw(rows).astype(np.float32), None):
            assert (one.promise, one.rows, one.risk, one.certainty) == ("coverage", rows, None, None)
            assert one.coverage >= one.target
            found.setdefault(one.target, []).append(lies_within(one, draw(FRESH)).mean())
    assert list(found) == [target for target in COVERAGES if target <= rows / (rows + 1) + 1e-12]
    for target, shares in found.items():
        assert_covers(shares, target, rows)


def test_equal_scores_only_add_to_the_coverage() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(REPEATS):
        (one,) = thresholds("entropy", rng.integers(0, 4, 50) / 4, None, coverages=(0.9,))
        shares.append(lies_within(one, rng.integers(0, 4, FRESH) / 4).mean())
    assert np.mean(shares) >= 0.9


def gamma(rng: np.random.Generator, size: int) -> Floats:
    return rng.gamma(1.0, 1.0, size).astype(np.float32)


def ties(rng: np.random.Generator, size: int) -> Floats:
    return rng.integers(0, 10, size) / 3


@pytest.mark.parametrize("draw", [gamma, ties])
@pytest.mark.parametrize("score", ["entropy", "confidence"])
def test_a_promised_risk_is_broken_no_more_often_than_was_said(
    score: Score, draw: Callable[[np.random.Generator, int], Floats]
) -> None:
    """The true risk below a threshold is read from many rows, for a chance of error that grows with the doubt."""
    rng = np.random.default_rng(0)
    sign = -1 if score == "confidence" else 1

    def rows(size: int) -> tuple[Floats, NDArray[np.bool_]]:
        doubt = draw(rng, size)
        return sign * doubt, rng.random(size) < np.minimum(0.15 * doubt, 1)

    many, many_wrong = rows(200_000)
    broken = dict.fromkeys(RISKS, 0)
    promised = dict.fromkeys(RISKS, 0)
    for _ in range(REPEATS):
        values, wrong = rows(1000)
        for one in thresholds(score, values, wrong, coverages=()):
            assert (one.promise, one.certainty) == ("risk", CERTAINTY)
            assert one.risk is not None
            assert one.risk <= one.target
            within = lies_within(one, many)
            promised[one.target] += 1
            broken[one.target] += bool(many_wrong[within].mean() > one.target)
    allowed = (1 - CERTAINTY) * REPEATS
    assert all(count <= allowed for count in broken.values())
    assert promised[0.1] > 0.9 * REPEATS


def test_a_risk_that_cannot_be_promised_is_left_out() -> None:
    values = np.linspace(0, 1, 200)
    assert thresholds("entropy", values, np.ones(200, np.bool_), coverages=()) == ()
    assert thresholds("entropy", values[:40], np.zeros(40, np.bool_), coverages=(), risks=(0.01,)) == ()
    assert thresholds("entropy", np.zeros(200), np.zeros(200, np.bool_), coverages=()) == ()  # all lie on the edge
    assert thresholds("entropy", np.zeros(0), np.zeros(0, np.bool_)) == ()
    (one,) = thresholds("entropy", values, np.zeros(200, np.bool_), coverages=(), risks=(0.05,))
    assert (one.coverage, one.risk) == (199 / 200, 0)


def test_the_bound_on_a_share_is_that_of_clopper_and_pearson() -> None:
    assert risk_bound(0, 100, 0.05) == pytest.approx(1 - 0.05 ** (1 / 100))  # (1 − p)^n = δ
    assert risk_bound(5, 5, 0.05) == 1
    assert risk_bound(3, 50, 0.025) == pytest.approx(0.16548, abs=1e-5)  # R: binom.test(3, 50)$conf.int[2]


@pytest.mark.parametrize("rows", [20, 50, 99])
def test_prediction_sets_hold_the_true_class_as_often_as_promised(rows: int) -> None:
    rng = np.random.default_rng(rows)
    found: dict[float, list[float]] = {}
    for _ in range(REPEATS):
        for one in prediction_sets(rng.beta(3, 1, rows).astype(np.float32)):
            found.setdefault(one.coverage, []).append((rng.beta(3, 1, FRESH) >= one.least_probability).mean())
    assert list(found) == [target for target in COVERAGES if target <= rows / (rows + 1) + 1e-12]
    for target, shares in found.items():
        assert_covers(shares, target, rows)


def test_intervals_hold_each_target_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    found: dict[float, list[float]] = {}
    for _ in range(REPEATS):
        for one in intervals(np.abs(rng.standard_t(3, (50, 2)) * [1, 10])):
            assert one.factors[0] < one.factors[1]
            within = np.abs(rng.standard_t(3, (FRESH, 2)) * [1, 10]) <= one.factors
            found.setdefault(one.coverage, []).extend(within.mean(axis=0))
    assert list(found) == list(INTERVALS)
    for target, shares in found.items():
        assert_covers(shares, target, 50)


def test_an_interval_is_never_infinite() -> None:
    scores = np.linspace(0, 1, 100)[:, None]
    scores[85:] = np.inf
    assert [one.coverage for one in intervals(scores)] == [0.5, 0.8]
    assert intervals(np.full((100, 1), np.inf)) == ()


def test_numbers_are_rounded_to_the_side_that_keeps_the_promise() -> None:
    values = np.float32([1.23456789, -1.23456789, 9.99999999e-9, 0])
    for value in values:
        (one,) = thresholds("entropy", np.full(20, value), None, coverages=(0.9,))
        assert value <= one.value <= value + 1e-6 * abs(value)
        (one,) = thresholds("confidence", np.full(20, value), None, coverages=(0.9,))
        assert value - 1e-6 * abs(value) <= one.value <= value
    (one,) = prediction_sets(np.full(20, np.float32(1 / 3)), coverages=(0.9,))
    assert 0.333333 <= one.least_probability <= np.float32(1 / 3)
