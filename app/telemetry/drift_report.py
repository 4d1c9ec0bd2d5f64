"""What the test for drift says of a version, to be shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.contract.contract_model import Score
from app.telemetry.drift_evidence import ALARM_AT, Side


@dataclass(frozen=True)
class ScoreDrift:
    """What the test says of one score of a head."""

    head: str
    score: Score
    rows: int
    """Rows served since the version was loaded; fewer than 64 of them are not in the evidence yet."""
    evidence: float
    distance: float | None
    """How far these rows lie from the calibration rows: the largest difference of the shares at or below a decile
    (Kolmogorov–Smirnov), from 0 to 1. None without rows."""
    side: Side
    """Whether more rows than expected seem to lie below or above a quantile of the calibration rows."""
    percent: int
    """That quantile; it tells something only where there is evidence."""


@dataclass(frozen=True)
class DriftReport:
    """What the test says of a version."""

    evidence: float
    """The sum over its scores; 1 at the start."""
    alarm: bool
    """Whether it is at `ALARM_AT` or above."""
    scores: tuple[ScoreDrift, ...]

    @classmethod
    def of(cls, scores: Sequence[ScoreDrift]) -> "DriftReport":
        """Sums up the scores of a version."""
        total = sum(score.evidence for score in scores)
        return cls(total, total >= ALARM_AT, tuple(scores))
