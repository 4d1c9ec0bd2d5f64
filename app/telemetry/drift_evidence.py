"""Evidence that a score of the served rows no longer lies where it did on the calibration rows.

The evidence is the wealth of a gambler who starts with 1 and bets, before each group of rows, that more of them than
of the calibration rows lie above one of the quantiles, or below. While rows are like those of the calibration, no bet
gains on average, so the wealth ever reaches 1/α with at most the probability α (Ville 1939). It may therefore be looked
at any time, for ever: a test by betting, as of Waudby-Smith & Ramdas 2024 (arXiv 2010.09686).

Bets are made at the odds of a band around the calibration's quantiles, since some thousand rows do not tell where the
true ones are. docs/drift.md says what follows from it.
"""

from collections.abc import Sequence
from math import log
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Side = Literal["below", "above"]

FALSE_ALARM = 0.01
"""Most that the probability of ever raising a false alarm may be, for all tests of a version together. One half is
the calibration's, that a true share lies outside the band; one half is that of the bets."""
ALARM_AT = 2 / FALSE_ALARM
"""The evidence of a version, the sum of its tests, at which it raises an alarm."""

_PERCENTS = np.array([1, 5, 10, 25, 50, 75, 90, 95, 99])
_EXPONENTS = np.array([0.9, 0.7, 0.4])
"""The bets on a share u are that it is u**0.9, which gains most where little has changed, to u**0.4, where much has."""
_MOST = 1000 * ALARM_AT  # of a test: what has drifted for long is forgotten as fast as what just began
_LARGEST_GROWTH = 600.0  # e**709 overflows
ROWS_AT_ONCE = 64
"""Rows that wait until they are taken in together: for a single one that would take longer than for all of them."""


class DriftEvidence:
    """Bets on where one score of the served rows lies.

    Args:
        quantiles: of the score on the calibration rows, 0 %, 1 %, … 100 %, as NumPy interpolates them.
        rows: how many calibration rows there were.
        tests: how many scores of the version are tested; they share the probability of a false alarm.

    Attributes:
        rows: on how many rows the bets are settled; fewer than 64 wait.
        value: the evidence, above 0; 1/`tests` at the start.
    """

    def __init__(self, quantiles: Sequence[float], rows: int, tests: int = 1) -> None:
        edges = np.asarray(quantiles, np.float64)[_PERCENTS]
        near = 1e-6 + 1e-5 * np.abs(edges)  # as far as devices and batch sizes may differ; ties stay ties
        bounds = np.concatenate([edges - near, edges + near])
        order = np.argsort(bounds, kind="stable")
        self._bounds, self._places = bounds[order], np.argsort(order)
        highest = highest_shares(rows, FALSE_ALARM / 2 / tests)
        expected = highest ** _EXPONENTS[:, None]
        self._loss = np.log((1 - expected) / (1 - highest))
        self._gain = np.log(expected / highest) - self._loss  # beside a loss
        self._share = 1 / tests
        self._wealth = np.zeros_like(expected)
        self._waiting: list[NDArray[Any]] = []
        self.rows = 0
        self.value = self._share

    def observe(self, values: NDArray[Any]) -> None:
        """Takes in the rows of a batch: finite scores [B]."""
        if not len(values):  # or they would pile up
            return
        self._waiting.append(values)
        if sum(map(len, self._waiting)) >= ROWS_AT_ONCE:
            self._settle(np.concatenate(self._waiting))
            self._waiting = []

    def leading(self) -> tuple[Side, int]:
        """On which side of which quantile, in percent, the bets have gained most."""
        best = int(self._wealth.sum(axis=0).argmax())
        return ("below", "above")[best // len(_PERCENTS)], int(_PERCENTS[best % len(_PERCENTS)])

    def _settle(self, values: NDArray[Any]) -> None:
        count = len(values)
        within = np.bincount(np.searchsorted(self._bounds, values), minlength=len(self._bounds) + 1).cumsum()
        beyond = within[self._places]
        beyond[len(_PERCENTS) :] = count - beyond[len(_PERCENTS) :]
        growth = beyond * self._gain + count * self._loss
        growth -= max(0.0, growth.max() - _LARGEST_GROWTH)
        # money is kept for later bets: one that has lost all before a change could not gain from it
        new = (_reserve(self.rows) - _reserve(self.rows + count)) * self._share / self._wealth.size
        self._wealth = (self._wealth + new) * np.exp(growth)
        self._wealth *= min(1.0, _MOST / self._wealth.sum())
        self.rows += count
        self.value = float(self._wealth.sum()) + _reserve(self.rows) * self._share


def highest_shares(rows: int, doubt: float) -> Floats:
    """The largest shares of new rows that may lie below each of the quantiles tested, then above each of them, given
    those of the calibration rows. All hold together, but for the probability `doubt` over the calibration rows.

    A quantile lies between two of the ordered scores; the lower one counts for what is above, the higher one for what
    is below. How much probability is below the k-th of n is bounded by Chernoff's bound for a binomial tail. Scores
    that are equal only make the shares smaller.
    """
    places = (rows - 1) * _PERCENTS
    at_most = np.concatenate([-(-places // 100), rows - 1 - places // 100]) / rows
    information = log(len(at_most) / doubt) / rows
    low, high = at_most, np.ones_like(at_most)
    for _ in range(60):
        middle = (low + high) / 2
        inside = _divergence(at_most, middle) < information
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.minimum(high, 1 - 1e-9)  # of a single row nothing follows


def _divergence(p: Floats, q: Floats) -> Floats:
    """Kullback–Leibler divergence between coins, in nats; p below 1, q between p and 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        heads: Floats = np.where(p > 0, p * np.log(p / q), 0.0)
        return np.where(q < 1, heads + (1 - p) * np.log((1 - p) / (1 - q)), np.inf)


def _reserve(rows: int) -> float:
    """The part of the wealth that was not yet bet after so many rows. It falls so slowly that a change at any time
    finds some."""
    return 1 / (1 + log(1 + rows))
