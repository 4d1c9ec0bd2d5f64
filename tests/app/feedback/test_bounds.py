import math
from functools import cache

import numpy as np
import pytest
from scipy import integrate, stats

from app.feedback.bounds import bernstein, evidence_above, evidence_below, upper_tail, wilson, worst_rate


@pytest.mark.parametrize(("hits", "rows"), [(0, 1), (1, 1), (0, 20), (3, 20), (910, 1000), (10**6, 10**6)])
def test_wilson_is_scipys(hits: int, rows: int) -> None:
    expected = stats.binomtest(hits, rows).proportion_ci(method="wilson")
    assert wilson(hits, rows) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_nothing_is_known_without_rows() -> None:
    assert wilson(0, 0) == (0, 1)
    assert bernstein(0, 0, 0, 2) == bernstein(1, 1, 1, 2) == (0, 2)


def test_bernstein_is_its_formula() -> None:
    losses = np.random.default_rng(0).beta(1, 9, 500) * 2
    lower, upper = bernstein(losses.sum(), (losses**2).sum(), 500, 2.0)
    log = math.log(2 / 0.025)
    reach = math.sqrt(2 * losses.var(ddof=1) * log / 500) + 2 * 7 * log / (3 * 499)
    assert (lower, upper) == pytest.approx((losses.mean() - reach, losses.mean() + reach))


def test_bernstein_holds_the_mean() -> None:
    draws = np.random.default_rng(1).binomial(1, 0.05, (2000, 100))
    inside = [bernstein(total, total, 100, 1.0) for total in draws.sum(axis=1)]
    assert np.mean([lower <= 0.05 <= upper for lower, upper in inside]) >= 0.95


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("trials", "least"), [(1, 1), (10, 0), (10, 3), (10, 11), (1000, 80), (1000, 140), (10**6, 100_500)]
)
def test_the_tail_is_scipys(trials: int, least: int, rate: float) -> None:
    expected = stats.binom.sf(least - 1, trials, rate)
    assert upper_tail(trials, rate, least) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("failures", "rows"), [(0, 5), (3, 10), (25, 100), (2, 100)])
def test_evidence_is_its_integral(failures: int, rows: int) -> None:
    def ratio(theta: float) -> float:
        return float((theta / 0.1) ** failures * ((1 - theta) / 0.9) ** (rows - failures))

    above, _ = integrate.quad(ratio, 0.1, 1)
    below, _ = integrate.quad(ratio, 0, 0.1)
    assert evidence_above(failures, rows, 0.1) == pytest.approx(above / 0.9, rel=1e-6)
    assert evidence_below(failures, rows, 0.1) == pytest.approx(below / 0.1, rel=1e-6)


def test_evidence_of_many_rows_stays_a_number() -> None:
    assert evidence_above(10**6, 10**6, 0.1) > 1e300
    assert evidence_above(0, 10**6, 0.1) < 1e-6
    assert evidence_below(0, 10**6, 0.1) > 1e300
    assert evidence_below(10**6, 10**6, 0.1) < 1e-6


@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_who_looks_after_every_row_is_seldom_misled(rate: float) -> None:
    looks = np.unique(np.geomspace(1, 2000, 60).astype(int))
    runs = (np.random.default_rng(2).random((1000, 2000)) < rate).cumsum(axis=1)[:, looks - 1]
    evidence = cache(lambda failures, rows: evidence_above(failures, rows, rate))
    ever = [max(map(evidence, run, looks.tolist())) >= 20 for run in runs.tolist()]
    assert np.mean(ever) <= 0.05  # Ville's inequality


@pytest.mark.parametrize(("rows", "rate"), [(50, 0.05), (150, 0.1), (2500, 0.01), (2500, 0.1)])
def test_the_worst_rate_is_a_quantile_of_the_beta_distribution(rows: int, rate: float) -> None:
    order = math.ceil(round((rows + 1) * (1 - rate), 9))
    expected = stats.beta.ppf(0.975, rows + 1 - order, order) if order <= rows else 0
    assert worst_rate(rows, rate, 0.025) == pytest.approx(max(rate, expected), abs=1e-9)
