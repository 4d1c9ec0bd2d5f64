"""What the test for drift says of a version, to be shown."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.contract.contract_model import Score
from app.telemetry.drift_evidence import ALARM_AT, DriftEvidence, Side


@dataclass(frozen=True)
class ScoreDrift:
    """What the test says of one score of a head."""

    head: str
    score: Score
    rows: int
    """Rows tested since the version was loaded."""
    evidence: float
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
    def of(cls, tests: Mapping[tuple[str, Score], DriftEvidence]) -> "DriftReport":
        """Reads the tests of a version, by head and score."""
        total = sum(test.value for test in tests.values())
        scores = (ScoreDrift(*name, test.rows, test.value, *test.leading()) for name, test in tests.items())
        return cls(total, total >= ALARM_AT, tuple(scores))
