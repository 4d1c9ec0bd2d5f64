"""The curves of a contract's evaluation (`app.contract.curves`), from a head's scores and errors. No torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from app.contract.contract_model import Score
from app.contract.curves import ErrorPoint, LevelCoverage, Reliability, ReliabilityBin, RiskCoverage, RiskPoint
from app.contract.head import Head
from models.evaluation import metrics
from models.evaluation.answers import Outputs
from models.evaluation.likelihood import Floats

COVERAGES = (0.01, *(step / 20 for step in range(1, 21)))
"""Where risks are told: 1 %, 5 %, 10 %, … 100 % of the rows."""
LEVELS = tuple(step / 10 for step in range(1, 10))
"""Of central intervals of a predicted distribution."""


def reliability(sums: Floats) -> Reliability:
    """The bins that are not empty, from the sums [3, 15] of `metrics.calibration_sums`."""
    return tuple(
        ReliabilityBin(count=round(count), confidence=_share(sure / count), accuracy=_share(hits / count))
        for count, sure, hits in sums.T
        if count
    )


def risk_coverage(head: Head, found: Outputs, errors: NDArray[np.bool_] | Floats) -> RiskCoverage:
    """Risks by coverage, from the outputs of rows and the error [B] of each."""
    return {
        score: tuple(
            RiskPoint(coverage=_share(coverage), risk=_share(risk))
            for coverage, risk in _at_coverages(metrics.risks(values, errors))
        )
        for score, values in _doubts(head, found).items()
    }


def error_coverage(head: Head, found: Outputs, squared: Floats) -> dict[Score, tuple[ErrorPoint, ...]]:
    """The same for a regressor, from squared errors [B, D]."""
    told: dict[Score, tuple[ErrorPoint, ...]] = {}
    for score, values in _doubts(head, found).items():
        of_targets = np.stack([np.sqrt(metrics.risks(values, of_target)) for of_target in squared.T], axis=1)
        told[score] = tuple(
            ErrorPoint(coverage=_share(coverage), rmse=tuple(map(_rounded, rmse)))
            for coverage, rmse in _at_coverages(of_targets)
        )
    return told


def within_levels(truth: Floats, means: Floats, variances: Floats) -> NDArray[np.bool_]:
    """[L, B, D, *G] whether true values [B, D, *G] lie in the central interval of each of the `LEVELS` of the mixture
    of the submodels' normal distributions, [B, N, D, *G]."""
    standard = (truth.astype(np.float64)[:, None] - means) / np.sqrt(variances.astype(np.float64))
    # the central interval of a level is where the distribution function is no further than half of it from ½
    off_centre = np.abs(2 * ndtr(standard).mean(axis=1) - 1)
    return np.stack([off_centre <= level for level in LEVELS])


def level_coverage(shares: Floats) -> tuple[LevelCoverage, ...]:
    """From the shares [L, D] of true values within each level."""
    return tuple(
        LevelCoverage(level=level, coverage=tuple(map(_share, of_targets)))
        for level, of_targets in zip(LEVELS, shares, strict=True)
    )


def _doubts(head: Head, found: Outputs) -> dict[Score, Floats]:
    """The scores [B] that curves are told for, each higher for a row in more doubt."""
    named = {"entropy", *(rule.score for rule in (head.policy.rules if head.policy else ()))}
    values = {score: head.score_value(score, found) for score in head.scores if score in named}
    return {score: -of_rows if score == "confidence" else of_rows for score, of_rows in values.items()}


def _at_coverages(values: Floats) -> list[tuple[float, Any]]:
    """The coverage that so many rows are, and the value [B, …] there; fewer points where there are few rows."""
    rows = len(values)
    ends = dict.fromkeys(int(np.ceil(rows * coverage - 1e-9)) for coverage in COVERAGES)
    return [(end / rows, values[end - 1]) for end in ends]


def _share(value: float) -> float:
    """Rounded, and never outside [0, 1] by an error of floating point."""
    return min(max(_rounded(value), 0.0), 1.0)


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")
