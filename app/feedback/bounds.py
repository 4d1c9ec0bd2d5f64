"""What counts and sums say about a rate or a mean: confidence intervals, and evidence against a promised rate.

The evidence is an e-value (Ramdas et al. 2023, arXiv 2210.01948): with successive rows independent, or at least none
more likely to fail than promised whatever came before, the probability that it *ever* reaches e is at most 1/e (Ville's
inequality). So it may be looked at as often as one likes, which a test for a fixed number of rows may not.
"""

import math
from functools import cache

LEVEL = 0.95
_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
_DELTA = (1 - LEVEL) / 2
_NEGLIGIBLE = 1e-17


def wilson(hits: int, rows: int) -> tuple[float, float]:
    """The 95 % interval for a proportion (Wilson 1927); (0, 1) without rows."""
    if rows == 0:
        return 0.0, 1.0
    share, square = hits / rows, _Z * _Z / rows
    middle = (share + square / 2) / (1 + square)
    reach = _Z / (1 + square) * math.sqrt(share * (1 - share) / rows + square / (4 * rows))
    # at 0 and at all hits the ends are exact, but for rounding
    return (max(0.0, middle - reach) if hits else 0.0, min(1.0, middle + reach) if hits < rows else 1.0)


def bernstein(total: float, squares: float, rows: int, most: float) -> tuple[float, float]:
    """The 95 % interval for the mean of a loss from 0 to `most`: the empirical Bernstein bound (Maurer & Pontil 2009,
    arXiv 0907.3740, theorem 4), once for each side.

    Args:
        total, squares: the sums of the losses and of their squares.
    """
    if rows < 2:
        return 0.0, most
    mean = total / rows
    variance = max(0.0, (squares - rows * mean * mean) / (rows - 1))
    log = math.log(2 / _DELTA)
    reach = math.sqrt(2 * variance * log / rows) + most * 7 * log / (3 * (rows - 1))
    return max(0.0, mean - reach), min(most, mean + reach)


def evidence_above(failures: int, rows: int, rate: float) -> float:
    """The e-value against "rows fail at most at this rate", 0 < rate < 1.

    It is the likelihood ratio against the rate, averaged evenly over all higher rates: in closed form by the beta
    integral ∫_rate^1 θ^s (1 − θ)^(n−s) dθ = B(s + 1, n − s + 1) · P(Binomial(n + 1, rate) ≤ s).
    """
    tail = 1 - upper_tail(rows + 1, rate, failures + 1)
    return _ratio(failures, rows, rate, tail / (1 - rate))


def evidence_below(failures: int, rows: int, rate: float) -> float:
    """The e-value against "rows fail at this rate at least", averaged over all lower ones."""
    return _ratio(failures, rows, rate, upper_tail(rows + 1, rate, failures + 1) / rate)


def _ratio(failures: int, rows: int, rate: float, mass: float) -> float:
    if mass <= 0:
        return 0.0
    kept = rows - failures
    log = math.lgamma(failures + 1) + math.lgamma(kept + 1) - math.lgamma(rows + 2) + math.log(mass)
    log -= failures * math.log(rate) + kept * math.log1p(-rate)
    return math.exp(min(log, 700.0))  # beyond, exp overflows


def upper_tail(trials: int, rate: float, least: int) -> float:
    """P(Binomial(trials, rate) ≥ least), summed from its largest term on."""
    if least <= 0:
        return 1.0
    if least > trials:
        return 0.0
    if least <= trials * rate:  # the other tail is the shorter
        return 1.0 - upper_tail(trials, 1 - rate, trials - least + 1)
    log = math.lgamma(trials + 1) - math.lgamma(least + 1) - math.lgamma(trials - least + 1)
    term = math.exp(log + least * math.log(rate) + (trials - least) * math.log1p(-rate))
    total, odds = term, rate / (1 - rate)
    for count in range(least, trials):
        term *= (trials - count) / (count + 1) * odds
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return min(1.0, total)


@cache
def worst_rate(rows: int, rate: float, chance: float) -> float:
    """How often new rows may fail if the calibration of a conformal promise drew unluckily: all but the share `chance`
    of calibrations have a lower rate.

    A conformal promise is marginal: on average over calibrations rows fail at most at the promised rate. Given one on n
    rows, the rate follows Beta(n + 1 − l, l) or less, with l = ⌈(n + 1)(1 − rate)⌉ (Vovk 2012, arXiv 1209.2673).
    """
    order = math.ceil((rows + 1) * (1 - rate) - 1e-9)  # (n + 1)·0.9 may be a hair above a whole number
    low, high = rate, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        # P(Beta(a, b) ≤ x) = P(Binomial(a + b − 1, x) ≥ a)
        if upper_tail(rows, middle, rows + 1 - order) < 1 - chance:
            low = middle
        else:
            high = middle
    return high
