"""Tests of a mean are held against many draws whose mean is exactly the limit: how often they call it lower."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation.risk_bound import keeps_risk, mean_p_value, risk_bound

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def test_the_bound_on_a_share_is_that_of_clopper_and_pearson() -> None:
    assert risk_bound(0, 100, 0.05) == pytest.approx(1 - 0.05 ** (1 / 100))  # (1 − p)^n = δ
    assert risk_bound(5, 5, 0.05) == 1
    assert risk_bound(3, 50, 0.025) == pytest.approx(0.16548, abs=1e-5)  # R: binom.test(3, 50)$conf.int[2]


def even(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return rng.beta(5, 95, size)


def skewed(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return rng.beta(0.05, 0.95, size)


def all_or_nothing(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    return (rng.random(size) < 0.05).astype(np.float64)


def rare(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Mostly 0.04, and now and then half of the cells."""
    return np.where(rng.random(size) < 0.01 / 0.46, 0.5, 0.04)


@pytest.mark.parametrize("draw", [even, skewed, all_or_nothing, rare])
@pytest.mark.parametrize("rows", [100, 1000])
def test_a_mean_at_the_limit_is_hardly_ever_called_lower(draw: Draw, rows: int) -> None:
    rng = np.random.default_rng(0)
    repeats = 2000
    assert draw(rng, 1_000_000).mean() == pytest.approx(0.05, abs=1e-3)
    called = np.array([[mean_p_value(draw(rng, rows), 0.05, 0.05) <= doubt for doubt in (0.05, 0.2)]
                       for _ in range(repeats)])  # fmt: skip
    for doubt, share in zip((0.05, 0.2), called.mean(axis=0)):  # at levels it is not tuned for, too
        assert share <= doubt + 3 * np.sqrt(doubt * (1 - doubt) / repeats)


def test_a_lower_mean_is_told_the_sooner_the_less_losses_vary() -> None:
    rng = np.random.default_rng(0)
    told = [np.mean([keeps_risk(0.8 * draw(rng, 500), 0.05, 0.05) for _ in range(300)]) for draw in (even, skewed)]
    assert told[0] > 0.99
    assert told[1] < 0.5


def test_capital_is_that_of_a_game_played_round_by_round() -> None:
    """Each stake comes from the losses before it alone."""
    losses, risk, doubt = np.random.default_rng(0).beta(2, 30, 60), 0.1, 0.05
    capital = most = 1.0
    for index, loss in enumerate(losses):
        before = losses[:index]
        running = [(0.5 + before[: i + 1].sum()) / (i + 2) for i in range(index)]
        variance = (0.25 + sum((x - mean) ** 2 for x, mean in zip(before, running))) / (index + 1)
        capital *= 1 + min(1, np.sqrt(2 * np.log(1 / doubt) / (len(losses) * variance))) * (risk - loss)
        most = max(most, capital)
    assert mean_p_value(losses, risk, doubt) == pytest.approx(1 / most)
    assert mean_p_value(losses, risk, doubt) < 1


def test_extremes() -> None:
    assert mean_p_value(np.ones(100), 0.01, 0.05) == 1
    assert [keeps_risk(np.zeros(rows), 0.05, 0.05) for rows in (62, 63)] == [False, True]  # 59 as booleans
    values = [mean_p_value(np.full(200, 0.02), risk, 0.05) for risk in (0.01, 0.02, 0.03, 0.05, 0.1)]
    assert all(a >= b for a, b in pairwise(values))


def test_booleans_are_tested_by_their_own_bound() -> None:
    wrong = np.zeros(59, np.bool_)
    assert keeps_risk(wrong, 0.05, 0.05)  # 0.95^59 < 0.05
    assert not keeps_risk(wrong[1:], 0.05, 0.05)
    assert not keeps_risk(wrong.astype(np.float64), 0.05, 0.05)


@pytest.mark.parametrize("loss", [-1e-9, 1.001, float("nan")])
def test_losses_outside_0_to_1_are_refused(loss: float) -> None:
    with pytest.raises(ValueError, match="losses: expected numbers from 0 to 1"):
        keeps_risk(np.array([0.5, loss]), 0.05, 0.05)
