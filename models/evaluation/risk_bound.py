"""Tests whether a risk, the mean loss of rows, is below a limit: for losses of 0 or 1, and for those in between. No
torch.

Both are for independent rows, and say something wrong with at most the probability `doubt`.
"""

from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

Losses = NDArray[np.bool_] | NDArray[np.floating[Any]]
"""[n] whether each answer is wrong, or how wrong it is, from 0 to 1."""


def keeps_risk(losses: Losses, risk: float, doubt: float) -> bool:
    """Whether the mean loss of rows like these, one or more, is at most `risk` with confidence 1 − `doubt`.

    Of booleans by `risk_bound`, of numbers by `mean_p_value`: the type decides and not the values, since a bound that
    is chosen by what it is applied to does not hold.

    Raises:
        ValueError: a number is outside [0, 1].
    """
    if losses.dtype == np.bool_:
        return risk_bound(int(losses.sum()), len(losses), doubt) <= risk
    return mean_p_value(losses, risk, doubt) <= doubt


def risk_bound(errors: int, rows: int, doubt: float) -> float:
    """Upper confidence bound, at level 1 − `doubt`, of an error rate with `errors` among `rows` independent rows.

    Clopper and Pearson 1934, one-sided: the (1 − doubt) quantile of Beta(errors + 1, rows − errors).
    """
    return float(beta.ppf(1 - doubt, errors + 1, rows - errors)) if errors < rows else 1.0


def mean_p_value(losses: NDArray[Any], risk: float, doubt: float) -> float:
    """p-value of the hypothesis that n ≥ 1 independent losses in [0, 1] in random order have a mean of `risk` or more.

    Valid at any level, and sharpest at `doubt`. A bet against the hypothesis, whose stakes adapt to the variance of the
    losses before: under it the capital is a supermartingale from 1, which ever reaches 1 / p with probability at most
    p (Waudby-Smith & Ramdas 2020, arXiv 2010.09686; for risks as in Bates et al. 2021, arXiv 2101.02703, section 3.1).
    The bound of Hoeffding and Bentkus takes the variance of losses of 0 or 1; shares of wrong cells vary far less.

    Raises:
        ValueError: a loss is outside [0, 1].
    """
    values = losses.astype(np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("losses: expected numbers from 0 to 1")
    seen = np.arange(2, len(values) + 2)  # a half and its variance of a quarter count as one loss before the first
    means = (0.5 + values.cumsum()) / seen
    variances = (0.25 + np.square(values - means).cumsum()) / seen
    before = np.concatenate([[0.25], variances[:-1]])
    # a stake of 1 or less leaves some capital after any loss
    stakes = np.minimum(1.0, np.sqrt(2 * log(1 / doubt) / (len(values) * before)))
    return exp(-max(0.0, float(np.log1p(stakes * (risk - values)).cumsum().max())))
