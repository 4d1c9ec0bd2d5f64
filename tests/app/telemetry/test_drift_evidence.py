import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta

from app.telemetry.drift_evidence import ALARM_AT, FALSE_ALARM, DriftEvidence, highest_shares

ROWS = 2500  # of a calibration


def table(scores: NDArray[np.float64]) -> tuple[float, ...]:
    """Quantiles as the calibration writes them."""
    return tuple(float(f"{value:.7g}") for value in np.quantile(scores, np.linspace(0, 1, 101)))


def calibrated(rng: np.random.Generator, rows: int = ROWS) -> DriftEvidence:
    return DriftEvidence(table(rng.random(rows)), rows)


def test_alarms_in_a_thousand_weeks_are_no_more_than_stated() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(1000):
        evidence = calibrated(rng)
        worst = 0.0
        for batch in rng.random((50, 256)):
            evidence.observe(batch)
            worst = max(worst, evidence.value)
        alarms += worst >= ALARM_AT
    assert alarms <= 1000 * FALSE_ALARM


def test_without_the_band_a_finite_calibration_would_raise_alarms() -> None:
    """The rate above is not low because nothing raises an alarm."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(20):
        taken_for_exact = DriftEvidence(table(rng.random(ROWS)), 10**12)
        for batch in rng.random((1000, 256)):
            taken_for_exact.observe(batch)
        alarms += taken_for_exact.value >= ALARM_AT
    assert alarms >= 10


def test_no_bet_gains_on_average_even_at_the_end_of_the_band() -> None:
    rng = np.random.default_rng(1)
    edges = np.array([0, 1, 5, 10, 25, 50, 75, 90, 95, 99, 100]) / 100
    above = highest_shares(ROWS, FALSE_ALARM / 2)[9:]
    below = np.concatenate([[0.0], 1 - above, [1.0]])  # as few rows below each quantile as the band allows
    final = []
    for _ in range(2000):
        evidence = DriftEvidence(tuple(np.linspace(0, 1, 101)), ROWS)
        evidence.observe(np.interp(rng.random(64), below, edges))
        final.append(evidence.value)
    # bets on `above`, and what is not bet yet, keep their value on average: 0.6. Bets on `below` lose nearly all
    assert 0.6 < np.mean(final) < 0.7


@pytest.mark.parametrize(("power", "within"), [(0.5, 600), (0.7, 2000), (1.5, 1500)])
@pytest.mark.parametrize("before", [0, 100_000])
def test_a_shift_raises_an_alarm_also_after_many_good_rows(power: float, within: int, before: int) -> None:
    rng = np.random.default_rng(2)
    evidence = calibrated(rng)
    for batch in rng.random((before // 1000, 1000)):
        evidence.observe(batch)
    assert evidence.value < ALARM_AT
    for batch in rng.random((within // 10, 10)) ** power:
        evidence.observe(batch)
    assert evidence.value >= ALARM_AT
    side, percent = evidence.leading()
    assert side == ("above" if power < 1 else "below")
    assert 1 <= percent <= 99


def test_the_alarm_ends_once_rows_are_like_those_of_the_calibration_again() -> None:
    rng = np.random.default_rng(3)
    evidence = calibrated(rng)
    for batch in rng.random((1000, 1000)) ** 0.5:
        evidence.observe(batch)
    assert ALARM_AT <= evidence.value < np.inf
    for batch in rng.random((100, 100)):
        evidence.observe(batch)
    assert evidence.value < ALARM_AT


def test_a_share_within_the_band_is_no_drift() -> None:
    rng = np.random.default_rng(4)
    evidence = calibrated(rng)
    for batch in rng.random((1000, 1000)):
        evidence.observe(batch * 1.01)
    assert evidence.value < 1


def test_rows_that_tie_with_a_quantile_lie_on_neither_side() -> None:
    scores = np.repeat([0.0, 0.3, 1.0], [1500, 500, 500])
    evidence = DriftEvidence(table(scores), ROWS)
    rng = np.random.default_rng(5)
    for _ in range(1000):  # with the differences of another device
        drawn = rng.choice(scores, 100)
        evidence.observe(drawn * (1 + 1e-6 * rng.standard_normal(100)) + 1e-7 * rng.random(100))
    assert evidence.value < 1


def test_rows_wait_until_there_are_enough_to_settle_and_none_costs_nothing() -> None:
    evidence = calibrated(np.random.default_rng(6))
    evidence.observe(np.empty(0))
    for _ in range(63):
        evidence.observe(np.array([2.0]))
        assert (evidence.rows, evidence.value) == (0, 1)
    evidence.observe(np.array([2.0]))
    assert evidence.rows == 64
    assert evidence.value >= ALARM_AT


def test_tests_of_one_version_share_its_evidence() -> None:
    one, of_four = (DriftEvidence(tuple(np.linspace(0, 1, 101)), ROWS, tests) for tests in (1, 4))
    assert (one.value, of_four.value) == (1, 0.25)
    rng = np.random.default_rng(7)
    for batch in rng.random((3, 100)) ** 0.7:
        one.observe(batch)
        of_four.observe(batch)
    assert of_four.value < one.value / 4  # its band is wider, too


@pytest.mark.parametrize("rows", [50, 2500, 5000])
def test_shares_are_bounded_by_no_less_than_order_statistics_allow(rows: int) -> None:
    """The probability below the k-th of n scores is distributed as Beta(k, n + 1 − k)."""
    doubt = 0.005
    highest = highest_shares(rows, doubt)
    percents = np.array([1, 5, 10, 25, 50, 75, 90, 95, 99])
    upper = np.ceil((rows - 1) * percents / 100) + 1
    lower = np.floor((rows - 1) * percents / 100) + 1
    exact = np.concatenate(
        [
            beta.isf(doubt / 18, upper, rows + 1 - upper),
            beta.isf(doubt / 18, rows + 1 - lower, lower),
        ]
    )
    assert (highest >= exact).all()
    assert (highest - exact < 0.9 / np.sqrt(rows)).all()


def test_of_one_calibration_row_nothing_follows() -> None:
    evidence = DriftEvidence((0.5,) * 101, 1)
    evidence.observe(np.full(1000, 9.0))
    assert 0 < evidence.value < ALARM_AT
