"""Where a row's scores lie among those of the calibration rows."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.contract_model import Score
from app.contract.head import Head

_PERCENTS = np.arange(101, dtype=np.float64)
_FEW = 8
"""Values up to which Python is as quick as NumPy, which also lets go of the interpreter's lock for each table, and gets
it back late while a batch runs."""


class QuantileTable:
    """Where scores lie among those of the calibration rows.

    Args:
        quantiles: the 0 %, 1 %, … 100 % quantiles of a score on these rows, ascending.
    """

    def __init__(self, quantiles: Sequence[float]) -> None:
        self.quantiles = [float(value) for value in quantiles]
        self._array = np.array(quantiles, np.float64)

    def percentages(self, values: NDArray[Any]) -> list[float]:
        """0 to 100 for each score [B], linear between quantiles, with two decimals.

        A value that equals several quantiles gets the highest of their percentages; below all it is 0, above all 100.
        """
        if len(values) <= _FEW:
            return [round(100 * self._percentage(value)) / 100 for value in values.tolist()]  # round(…, 2) takes long
        found: list[float] = np.interp(values, self._array, _PERCENTS).round(2).tolist()
        return found

    def _percentage(self, value: float) -> float:
        above = bisect_right(self.quantiles, value)
        if not 0 < above < len(self.quantiles):
            return 100.0 if above else 0.0
        low, high = self.quantiles[above - 1 : above + 1]
        return above - 1 + (value - low) / (high - low)


def quantile_tables(head: Head) -> dict[Score, QuantileTable]:
    """The quantiles of each score that a head has and is calibrated for.

    Leaves out scores that are the same on all calibration rows, such as the mutual information of a single network: a
    rank among equals says nothing.
    """
    quantiles = head.calibration.quantiles if head.calibration else {}
    return {
        score: QuantileTable(table) for score in head.scores if (table := quantiles.get(score)) and table[0] < table[-1]
    }
