"""The promises of a head, and what truths say about each: kept, broken, or not enough truth yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.contract.calibration import Threshold
from app.contract.contract_model import Score
from app.contract.decisions import TOLERANCE
from app.contract.head import Head
from app.contract.policy import Policy
from app.feedback.bounds import LEVEL, evidence_above, evidence_below, worst_rate
from app.feedback.tasks import FEEDBACK
from app.feedback.tasks.task import Judgement

Verdict = Literal["kept", "broken", "not_enough_truth"]

_UNLUCKY = 0.025
"""Share of calibrations whose promise is taken for broken though it is not, of those that hold on average only."""
_MARGIN = 0.5
"""A promise is kept if at most this share more rows fail than it allows: that no more fail at all, no finite number of
rows can show of one that holds exactly."""


@dataclass(frozen=True)
class Promise:
    """That at most a share of the rows fail: that their set does not hold the truth, say."""

    name: str
    allowed: float
    """Most rows that may fail, as a share."""
    calibration_rows: int
    of: int | Threshold
    """Index of the set or interval that must hold the truth. Or the threshold within which the score must lie; of a
    risk, within which answers must be right."""
    marginal: bool = True
    """It holds on average over calibrations, as a conformal one; otherwise of this calibration."""

    def failed(self, judgement: Judgement, scores: Mapping[Score, float]) -> bool | None:
        """Whether a row failed; None if nothing is promised of it."""
        if isinstance(self.of, int):
            return not judgement.covered[self.of]
        inside = _is_within(self.of, scores)
        if self.of.guarantee == "coverage":
            return not inside
        return judgement.wrong if inside else None

    @property
    def tolerated(self) -> float:
        """How often rows may fail before the promise is taken for broken."""
        return worst_rate(self.calibration_rows, self.allowed, _UNLUCKY) if self.marginal else self.allowed

    def evidence(self, failures: int, rows: int) -> float:
        """The e-value of these rows against the promise, 1 without rows: while it holds, the probability that it ever
        reaches e is at most 1/e, for all calibrations but the share `_UNLUCKY` of those that hold on average only."""
        return evidence_above(failures, rows, self.tolerated) if rows and 0 < self.allowed < 1 else 1.0

    def verdict(self, failures: int, rows: int) -> tuple[Verdict, float | None]:
        """What these rows say, and of a broken promise with how much certainty: 1 less the probability that a promise
        which holds is ever called broken on so much evidence. See docs/feedback.md."""
        if rows == 0 or not 0 < self.allowed < 1:
            return "not_enough_truth", None
        against = self.evidence(failures, rows)
        certainty = 1 - (1 / against if against > 1 else 1.0) - (_UNLUCKY if self.marginal else 0.0)
        if certainty >= LEVEL:
            return "broken", certainty
        limit = max((1 + _MARGIN) * self.allowed, self.tolerated)
        if limit < 1 and evidence_below(failures, rows, limit) >= 1 / (1 - LEVEL):
            return "kept", None
        return "not_enough_truth", None


def promises_of(head: Head, policy: Policy | None) -> tuple[Promise, ...]:
    """Coverage of each set or interval, and each guarantee of a threshold that the policy in force uses."""
    regions = FEEDBACK[head.task].regions(head)
    of_regions = [Promise(region.name, _rest(region.coverage), region.rows, at) for at, region in enumerate(regions)]
    used = [(rule.score, rule.threshold) for rule in policy.rules if not rule.below] if policy is not None else []
    of_policy = [
        Promise(
            f"{one.guarantee} {one.target:g} {one.score}",
            _rest(one.target) if one.guarantee == "coverage" else one.target,
            one.rows,
            one,
            marginal=one.guarantee == "coverage",
        )
        for one in (head.calibration.thresholds if head.calibration else ())
        if any(score == one.score and abs(value - one.value) <= TOLERANCE * abs(value) for score, value in used)
    ]
    return (*of_regions, *of_policy)


def _is_within(threshold: Threshold, scores: Mapping[Score, float]) -> bool:
    sign = -1.0 if threshold.score == "confidence" else 1.0
    return sign * scores[threshold.score] <= sign * threshold.value + TOLERANCE * abs(threshold.value)


def _rest(share: float) -> float:
    return round(1 - share, 9)  # 1 − 0.9 is not 0.1
