"""Guarantees are held against many fresh draws: how often, and by how much, they are kept."""

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import betabinom

from app.contract.calibration import Threshold
from app.contract.contract_model import Score
from app.contract.decisions import TOLERANCE
from models import artefact, runtime
from models.data import Dataset
from models.evaluation.conformal import (
    CONFIDENCE_LEVEL,
    COVERAGES,
    INTERVALS,
    RISKS,
    intervals,
    prediction_sets,
    thresholds,
)

REPEATS, FRESH = 400, 2000

Floats = NDArray[np.float64]


def lies_within(one: Threshold, values: Floats) -> NDArray[np.bool_]:
    """As a policy has it."""
    if one.score == "confidence":
        return values >= one.value - TOLERANCE * abs(one.value)
    return values <= one.value + TOLERANCE * abs(one.value)


def assert_covers(shares: list[float], target: float, rows: int, slack: float = 0.0) -> None:
    """The mean over repetitions is the guaranteed coverage or up to 1 / (rows + 1) more, within 3 standard errors."""
    error = 3 * np.std(shares) / np.sqrt(len(shares))
    assert target - error <= np.mean(shares) <= target + 1 / (rows + 1) + slack + error


@pytest.mark.parametrize("score", ["entropy", "energy", "confidence"])
@pytest.mark.parametrize("rows", [20, 50, 99])
def test_a_guaranteed_coverage_is_kept_and_hardly_exceeded(score: Score, rows: int) -> None:
    rng = np.random.default_rng(rows)
    draw: Callable[[int], Any] = {
        "entropy": lambda size: rng.gamma(0.5, 0.4, size),
        "energy": lambda size: rng.normal(-10, 3, size),
        "confidence": lambda size: rng.beta(8, 1, size),
    }[score]
    found: dict[float, list[float]] = {}
    for _ in range(REPEATS):
        for one in thresholds(score, draw(rows).astype(np.float32), None):
            assert (one.guarantee, one.rows, one.risk, one.confidence_level) == ("coverage", rows, None, None)
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


@pytest.mark.slow
@pytest.mark.parametrize("draw", [gamma, ties])
@pytest.mark.parametrize("score", ["entropy", "confidence"])
def test_a_guaranteed_risk_is_broken_no_more_often_than_was_said(
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
    guaranteed = dict.fromkeys(RISKS, 0)
    for _ in range(REPEATS):
        values, wrong = rows(1000)
        for one in thresholds(score, values, wrong, coverages=()):
            assert (one.guarantee, one.confidence_level) == ("risk", CONFIDENCE_LEVEL)
            assert one.risk is not None
            assert one.risk <= one.target
            within = lies_within(one, many)
            guaranteed[one.target] += 1
            broken[one.target] += bool(many_wrong[within].mean() > one.target)
    allowed = (1 - CONFIDENCE_LEVEL) * REPEATS
    assert all(count <= allowed for count in broken.values())
    assert guaranteed[0.1] > 0.9 * REPEATS


def test_a_guaranteed_risk_of_shares_is_broken_no_more_often_than_was_said() -> None:
    """Losses are shares of wrong cells, and grow with the doubt; the true risk is read from many rows."""
    rng = np.random.default_rng(0)

    def rows(size: int) -> tuple[Floats, Floats]:
        doubt = gamma(rng, size)
        mean = np.minimum(0.04 * doubt, 0.9)
        return doubt, rng.beta(4 * mean, 4 * (1 - mean))

    many, many_losses = rows(200_000)
    broken, found = dict.fromkeys(RISKS, 0), {target: [] for target in RISKS}  # type: dict[float, int], dict[float, list[float]]
    for _ in range(REPEATS):
        for one in thresholds("entropy", *rows(500), coverages=()):
            assert (one.guarantee, one.confidence_level, one.rows) == ("risk", CONFIDENCE_LEVEL, 500)
            assert one.risk is not None
            assert one.risk <= one.target
            within = lies_within(one, many)
            found[one.target].append(float(within.mean()))
            broken[one.target] += bool(many_losses[within].mean() > one.target)
    delta = 1 - CONFIDENCE_LEVEL
    assert all(count <= REPEATS * delta + 3 * np.sqrt(REPEATS * delta * (1 - delta)) for count in broken.values())
    # the mean of all is 0.04
    assert np.sum(found[0.05]) > 0.8 * REPEATS
    assert np.sum(found[0.1]) > 0.95 * REPEATS


def test_losses_of_0_and_1_are_bounded_as_booleans_only_if_they_are() -> None:
    values, wrong = np.linspace(0, 1, 400), np.arange(400) % 57 == 0
    booleans, numbers = (thresholds("entropy", values, losses, (), (0.1,)) for losses in (wrong, wrong.astype(float)))
    assert (booleans[0].value, booleans[0].risk) == (numbers[0].value, numbers[0].risk)
    assert len(thresholds("entropy", values[:116], np.zeros(116), (), (0.05,))) == 0
    assert len(thresholds("entropy", values[:118], np.zeros(118, np.bool_), (), (0.05,))) == 1


def test_a_risk_that_cannot_be_guaranteed_is_left_out() -> None:
    values = np.linspace(0, 1, 200)
    assert thresholds("entropy", values, np.ones(200, np.bool_), coverages=()) == ()
    assert thresholds("entropy", values[:40], np.zeros(40, np.bool_), coverages=(), risks=(0.01,)) == ()
    assert thresholds("entropy", np.zeros(200), np.zeros(200, np.bool_), coverages=()) == ()  # all lie on the edge
    assert thresholds("entropy", np.zeros(0), np.zeros(0, np.bool_)) == ()
    (one,) = thresholds("entropy", values, np.zeros(200, np.bool_), coverages=(), risks=(0.05,))
    assert (one.coverage, one.risk) == (199 / 200, 0)


@pytest.mark.parametrize("rows", [20, 50, 99])
def test_prediction_sets_hold_the_true_class_as_often_as_guaranteed(rows: int) -> None:
    rng = np.random.default_rng(rows)
    found: dict[float, list[float]] = {}
    for _ in range(REPEATS):
        for one in prediction_sets(rng.beta(3, 1, rows).astype(np.float32)):
            found.setdefault(one.coverage, []).append((rng.beta(3, 1, FRESH) >= one.least_probability).mean())
    assert list(found) == [target for target in COVERAGES if target <= rows / (rows + 1) + 1e-12]
    for target, shares in found.items():
        assert_covers(shares, target, rows)


def test_intervals_hold_each_target_as_often_as_guaranteed() -> None:
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


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_what_nobody_can_guarantee_is_refused(share: float) -> None:
    values = np.linspace(0, 1, 50)
    for guarantee in (
        lambda: thresholds("entropy", values, None, coverages=(0.9, share)),
        lambda: thresholds("entropy", values, values > 0.5, risks=(share,)),
        lambda: prediction_sets(values, (share,)),
        lambda: intervals(values[:, None], (share,)),
    ):
        with pytest.raises(ValueError, match=r"(coverages|risks): expected different numbers between 0 and 1, got "):
            guarantee()


@pytest.fixture(scope="module")
def served(digits_repository: Path, digits: Dataset) -> tuple[dict[Score, Floats], Floats]:
    """Of the digits' 600 rows that no weight was fitted to: the scores, and the probability of the true class."""
    model, contract, _ = artefact.read(digits_repository, "digits")
    names = [name for name in contract.head.scores if name != "confidence"]
    parts = digits.calibration, digits.test
    inputs, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "labels"))
    found: dict[Any, Any] = runtime.run(model, inputs, [*names, "probabilities"])
    probabilities = found.pop("probabilities")
    return {**found, "confidence": probabilities.max(axis=-1)}, probabilities[np.arange(len(labels)), labels]


def test_real_rows_are_covered_as_guaranteed_whichever_half_guarantees(
    served: tuple[dict[Score, Floats], Floats],
) -> None:
    """A quarter of the rows took part in fitting the temperature. The halves are drawn anew each time, so each half has
    as many of them by expectation, and the guarantee is exact."""
    scores, truth = served
    rng = np.random.default_rng(0)
    found: dict[tuple[str, float], list[float]] = {}
    for _ in range(200):
        ours, others = np.split(rng.permutation(len(truth)), 2)
        for score, values in scores.items():
            for one in thresholds(score, values[ours], None):
                found.setdefault((score, one.target), []).append(lies_within(one, values[others]).mean())
        for held in prediction_sets(truth[ours]):
            share = (truth[others] >= held.least_probability).mean()
            found.setdefault(("set", held.coverage), []).append(share)
    assert set(found) == {(score, target) for score in (*scores, "set") for target in COVERAGES}
    for (_, target), shares in found.items():
        assert_covers(shares, target, len(truth) // 2)


def test_the_exported_thresholds_cover_the_test_rows(
    digits_repository: Path, digits: Dataset, served: tuple[dict[Score, Floats], Floats]
) -> None:
    """The coverage of m new rows by the k-th smallest of n is beta-binomial, near 1 of a narrow spread."""
    calibration = artefact.read(digits_repository, "digits")[1].head.calibration
    assert calibration is not None
    scores, truth = served
    new = len(digits.test)
    held = [
        (one.target, one.rows, lies_within(one, scores[one.score][-new:]))
        for one in calibration.thresholds
        if one.guarantee == "coverage"
    ]
    held += [(one.coverage, one.rows, truth[-new:] >= one.least_probability) for one in calibration.prediction_sets]
    assert len(held) == (len(scores) + 1) * len(COVERAGES)
    for target, rows, within in held:
        k = ceil((rows + 1) * target)
        spread = betabinom(new, k, rows + 1 - k)
        assert spread.ppf(1e-3) <= within.sum() <= spread.ppf(1 - 1e-3)


def test_numbers_are_rounded_to_the_side_that_keeps_the_guarantee() -> None:
    values = np.array([1.23456789, -1.23456789, 9.99999999e-9, 0], np.float32)
    for value in values:
        (one,) = thresholds("entropy", np.full(20, value), None, coverages=(0.9,))
        assert value <= one.value <= value + 1e-6 * abs(value)
        (one,) = thresholds("confidence", np.full(20, value), None, coverages=(0.9,))
        assert value - 1e-6 * abs(value) <= one.value <= value
    (members,) = prediction_sets(np.full(20, np.float32(1 / 3)), coverages=(0.9,))
    assert 0.333333 <= members.least_probability <= np.float32(1 / 3)


@pytest.mark.parametrize(
    ("rows", "coverages", "risks", "wrong"),
    [
        (18, (0.9,), (), 0),
        (38, (0.95,), (), 0),
        (198, (0.99,), (), 0),
        (116, (), (0.1,), 0),
        (236, (), (0.05,), 0),
        (596, (), (0.02,), 0),
        (1196, (), (0.01,), 0),
        (560, (), (0.1,), 14),
        (1120, (), (0.05,), 14),
        (2950, (), (0.02,), 15),
        (5900, (), (0.01,), 15),
    ],
)
def test_levels_take_as_many_rows_as_the_documentation_says(
    rows: int, coverages: tuple[float, ...], risks: tuple[float, ...], wrong: int
) -> None:
    """Wrong ones are spread evenly over the scores, and then the number is not the least."""
    for half, found in ((rows // 2, 1), *(() if wrong else ((rows // 2 - 1, 0),))):
        errors = np.zeros(half, bool)
        errors[np.linspace(0, half - 2, wrong).astype(int)] = True
        values = np.arange(half, dtype=np.float64)
        assert len(thresholds("entropy", values, errors, coverages, risks)) == found, half
