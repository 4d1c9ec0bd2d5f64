"""Where a row's scores lie among those of the calibration rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.contract_model import Score
from app.contract.head import Head

_PERCENTS = np.arange(101, dtype=np.float64)


def quantile_tables(head: Head) -> dict[Score, NDArray[np.float64]]:
    """The 0 %, 1 %, … 100 % quantiles [101] of each score that a head has and is calibrated for.

    Leaves out scores that are the same on all calibration rows, such as the mutual information of a single network: a
    rank among equals says nothing.
    """
    quantiles = head.calibration.quantiles if head.calibration else {}
    return {
        score: np.array(table, np.float64)
        for score in head.scores
        if (table := quantiles.get(score)) and table[0] < table[-1]
    }


def percentages(table: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
    """Where scores [B] lie among those of the calibration rows: 0 to 100, linear between quantiles.

    A value that equals several quantiles gets the highest of their percentages; below all it is 0, above all 100.
    """
    found: NDArray[np.float64] = np.interp(values, table, _PERCENTS)
    return found
