"""What the truths about one head of a version add up to. Every number is a sum: those of several replicas add up."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from app.contract.decisions import Action
from app.contract.head import Head
from app.contract.policy import Policy
from app.feedback.promise import Promise, promises_of
from app.feedback.receipt import ACTIONS, Receipt, scores_of
from app.feedback.tasks import FEEDBACK
from app.feedback.tasks.task import Judgement, Truth

BINS = 10
"""Bins of equal width for the confidence of a classifier."""


class Loss(NamedTuple):
    """Sums of a loss and of its square."""

    total: float = 0.0
    squares: float = 0.0


@dataclass
class DecidedRows:
    """Rows with one decision."""

    rows: int = 0
    wrong: int = 0


@dataclass
class Bin:
    """Rows whose confidence lies in a bin."""

    rows: int = 0
    hits: int = 0
    confidence: float = 0.0
    """Sum."""


@dataclass
class PromisedRows:
    """What became of the rows that a promise is about."""

    promise: Promise
    rows: int = 0
    failures: int = 0


class Judged(NamedTuple):
    """One row whose truth is known."""

    action: Action | None
    judgement: Judgement
    failed: tuple[bool | None, ...]
    """For each promise; see `Promise.failed`."""
    truth: Any
    """As its task has it."""


@dataclass
class Tally:
    """The sums of one head.

    Args:
        policy: decides on its answers.
    """

    head: Head
    policy: Policy | None
    rows: int = 0
    repeats: int = 0
    decisions: dict[Action | None, DecidedRows] = field(init=False)
    losses: dict[str, Loss] = field(init=False)
    bins: list[Bin] = field(init=False)
    """Of a classifier."""
    promises: list[PromisedRows] = field(init=False)

    def __post_init__(self) -> None:
        self._task = FEEDBACK[self.head.task]
        self.decisions = {action: DecidedRows() for action in ACTIONS}
        self.losses = {name: Loss() for name in self._task.losses(self.head)}
        self.bins = [Bin() for _ in range(BINS)] if self.head.labels else []
        self.promises = [PromisedRows(promise) for promise in promises_of(self.head, self.policy)]

    @property
    def wrong(self) -> int | None:
        """Rows that were answered wrongly; None of a regressor."""
        return sum(of.wrong for of in self.decisions.values()) if self.head.labels else None

    def check(self, receipt: Receipt) -> None:
        """Checks that the contract is still that of the answer.

        Raises:
            ValueError: the version's file was replaced by another one.
        """
        same_scores = len(receipt.scores) == 4 * len(self.head.scores)
        if not (same_scores and receipt.action < len(ACTIONS) and self._task.fits(self.head, receipt.figures)):
            raise ValueError("the file of this version is not the one that answered")

    def judge(self, receipt: Receipt, given: Truth) -> Judged:
        """Judges an answer by its truth; changes nothing.

        Raises:
            ValueError: it cannot be the truth of any row.
        """
        truth = self._task.truth(self.head, given)
        judgement = self._task.judge(self.head, receipt.figures, truth)
        scores = scores_of(receipt, self.head)
        failed = tuple(kept.promise.failed(judgement, scores) for kept in self.promises)
        return Judged(ACTIONS[receipt.action], judgement, failed, truth)

    def count(self, judged: Judged) -> None:
        """Adds a row."""
        judgement = judged.judgement
        self.rows += 1
        decided = self.decisions[judged.action]
        decided.rows += 1
        decided.wrong += bool(judgement.wrong)
        for name, value in judgement.losses.items():
            total, squares = self.losses[name]
            self.losses[name] = Loss(total + value, squares + value * value)
        if judgement.confidence is not None:
            one = self.bins[min(int(judgement.confidence * BINS), BINS - 1)]
            one.rows += 1
            one.hits += not judgement.wrong
            one.confidence += judgement.confidence
        for kept, failed in zip(self.promises, judged.failed):
            if failed is not None:
                kept.rows += 1
                kept.failures += failed


def calibration_error(bins: list[Bin]) -> float | None:
    """The expected calibration error: how far confidence and hits of the bins lie apart, weighted by rows."""
    rows = sum(one.rows for one in bins)
    return float(np.sum([abs(one.confidence - one.hits) for one in bins])) / rows if rows else None
