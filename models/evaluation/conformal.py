"""Guarantees for new rows, from rows used for nothing else: thresholds, prediction sets and intervals.

Split conformal prediction: if n such values and a new one are exchangeable, the new one is at most the k-th smallest
of the n with probability at least k / (n + 1). So k = ⌈(n + 1)·coverage⌉ guarantees the coverage for any model and any
data, and for k > n there is no guarantee (Vovk et al. 2005; Lei et al. 2018, arXiv 1604.04173, for the correction by
one row). Ties only add to the coverage. Numbers have seven digits, rounded to the safe side. No torch.
"""

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from fractions import Fraction
from math import ceil
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from app.contract.calibration import Interval, PredictionSet, Threshold
from app.contract.contract_model import Score
from app.contract.decisions import TOLERANCE
from models.evaluation.risk_bound import Losses, keeps_risk

COVERAGES = (0.9, 0.95, 0.99)
"""Of thresholds and prediction sets."""
RISKS = (0.01, 0.05, 0.1)
"""Of thresholds."""
INTERVALS = (0.5, 0.8, 0.9, 0.95)
"""Coverages of intervals."""
CONFIDENCE_LEVEL = 0.95
"""1 − δ of a guaranteed risk."""
LEVELS = 20
"""Levels at which a guaranteed risk is searched for: 5 %, 10 %, … 100 % of the rows within."""

Floats = NDArray[np.floating[Any]]


def thresholds(
    score: Score,
    values: Floats,
    losses: Losses | None,
    coverages: Sequence[float] = COVERAGES,
    risks: Sequence[float] = RISKS,
) -> tuple[Threshold, ...]:
    """Upper limits of a score, values [n], one for each guarantee that is possible; lower limits for `confidence`.

    Args:
        losses: [n] whether each answer is wrong, or how wrong it is, from 0 to 1, such as the share of a row's cells
            that are, rows in random order; without it there are no risks.

    A guarantee is about its own score alone, not about several rules together.

    Raises:
        ValueError: see `check_shares`; or a loss is outside [0, 1].
    """
    check_shares("coverages", coverages)
    check_shares("risks", risks)
    sign = -1 if score == "confidence" else 1
    doubts = sign * values.astype(np.float64)
    candidates: list[tuple[Literal["coverage", "risk"], float, float | None]] = [
        ("coverage", target, _covering(doubts, target)) for target in coverages
    ]
    if losses is not None:
        candidates += [("risk", target, _riskless(doubts, losses, target)) for target in risks]
    found = []
    for guarantee, target, value in candidates:
        if value is None:
            continue
        within = doubts <= _reach(value)
        found.append(
            Threshold(
                score=score,
                guarantee=guarantee,
                target=target,
                value=sign * value + 0.0,  # never −0
                rows=len(values),
                coverage=float(within.mean()),
                risk=None if losses is None else float(losses[within].mean()),
                confidence_level=CONFIDENCE_LEVEL if guarantee == "risk" else None,
            )
        )
    return tuple(found)


def prediction_sets(truth: Floats, coverages: Sequence[float] = COVERAGES) -> tuple[PredictionSet, ...]:
    """Sets of classes for each coverage that can be guaranteed, from the probabilities [n] of the true classes.

    The score is 1 − p̄_y: least ambiguous sets (Sadinle et al. 2019, arXiv 1609.00451).

    Raises:
        ValueError: see `check_shares`.
    """
    check_shares("coverages", coverages)
    found = ((coverage, _covering(-truth.astype(np.float64), coverage)) for coverage in coverages)
    return tuple(
        PredictionSet(coverage=coverage, least_probability=min(max(-value, 0.0), 1.0), rows=len(truth))
        for coverage, value in found
        if value is not None
    )


def intervals(scores: Floats, coverages: Sequence[float] = INTERVALS) -> tuple[Interval, ...]:
    """Widths for each coverage that can be guaranteed for every target, from |y − prediction| / √variance [n, D].

    Scores are infinite if the variance is 0; a coverage that would need an infinite width is left out.

    Raises:
        ValueError: see `check_shares`.
    """
    check_shares("coverages", coverages)
    found = []
    for coverage in coverages:
        factors = [_covering(column.astype(np.float64), coverage) for column in scores.T]
        finite = tuple(factor for factor in factors if factor is not None)
        if len(finite) == len(factors):
            found.append(Interval(coverage=coverage, factors=finite, rows=len(scores)))
    return tuple(found)


def check_shares(name: str, shares: Sequence[float]) -> None:
    """Checks that coverages or risks can be guaranteed at all.

    Raises:
        ValueError: one is not strictly between 0 and 1, or appears twice.
    """
    if not all(0 < share < 1 for share in shares) or len(set(shares)) < len(shares):
        raise ValueError(f"{name}: expected different numbers between 0 and 1, got {', '.join(map(str, shares))}")


def rounded(value: float, *, up: bool) -> float:
    """A finite number to seven digits, up or down."""
    return float(Context(prec=7, rounding=ROUND_CEILING if up else ROUND_FLOOR).create_decimal_from_float(value))


def _covering(doubts: NDArray[np.float64], coverage: float) -> float | None:
    k = ceil((len(doubts) + 1) * Fraction(str(coverage)))  # exact: 20 · 0.55 is more than 11 in floats
    if k > len(doubts):
        return None
    value = float(np.partition(doubts, k - 1)[k - 1])
    return rounded(value, up=True) if np.isfinite(value) else None


def _riskless(doubts: NDArray[np.float64], losses: Losses, risk: float) -> float | None:
    """The largest threshold below which the mean loss is at most the risk, with δ shared by all levels.

    Given the k-th smallest doubt, the rows strictly below it are an independent sample of what lies below it
    (selection with guaranteed risk: Geifman & El-Yaniv 2017, arXiv 1705.08500; testing at fixed levels with
    Bonferroni's correction: Angelopoulos et al. 2021, arXiv 2110.01052). The threshold lies so far below that value
    that no rounding reaches it; if that is impossible, as among ties at 0, the level is left out.
    """
    ordered = np.sort(doubts)
    for level in range(LEVELS, 0, -1) if len(ordered) else ():
        edge = float(ordered[ceil(len(ordered) * level / LEVELS) - 1])
        value = rounded(edge - 2 * TOLERANCE * abs(edge), up=False)
        within = doubts <= _reach(value)
        if _reach(value) < edge and within.any() and keeps_risk(losses[within], risk, (1 - CONFIDENCE_LEVEL) / LEVELS):
            return value
    return None


def _reach(value: float) -> float:
    """The largest doubt that a policy with this threshold accepts."""
    return value + TOLERANCE * abs(value)
