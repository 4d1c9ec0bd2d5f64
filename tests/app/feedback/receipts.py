"""Heads with promises, what their graphs gave for two rows, and receipts for them."""

from app.contract.calibration import Threshold
from app.contract.decisions import Decision
from app.contract.head import Head
from app.contract.policy import Policy, Rule
from app.contract.tasks.task import Arrays
from app.feedback.receipt import Receipts
from app.feedback.signer import Signer
from tests.app.api.predict.answering import CLASSIFIER, REGRESSOR

SECRET = b"a secret of 32 characters or more"
RECEIPTS = Receipts(Signer([SECRET]))

WITHIN = Threshold(score="entropy", guarantee="coverage", target=0.9, value=0.4, rows=100, coverage=0.9)
RIGHT = Threshold(
    score="entropy", guarantee="risk", target=0.05, value=0.4, rows=100, coverage=0.9, risk=0.01, confidence_level=0.95
)
POLICY = Policy(rules=(Rule(action="defer", score="entropy", threshold=0.4),))


def with_thresholds(head: Head, *thresholds: Threshold) -> Head:
    assert head.calibration is not None
    return head.model_copy(update={"calibration": head.calibration.model_copy(update={"thresholds": thresholds})})


def issue(model: str, version: int, head: Head, found: Arrays, decisions: list[Decision] | None = None) -> list[str]:
    """Receipts for outputs [B, …] by name."""
    return RECEIPTS.issue(model, version, head, found, head.score_values(found), decisions)


CLASSES_HEAD = with_thresholds(CLASSIFIER.head, WITHIN, RIGHT)
"""Labels a and b; sets of what has 0.5 and 0.2 at least."""
NUMBERS_HEAD = REGRESSOR.head
"""Targets price and weight; intervals of 1 and 2, and of 2 and 4 standard deviations."""
