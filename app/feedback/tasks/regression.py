"""Feedback on a regressor: squared errors, log loss, and whether intervals hold the true values.

Figures of a row: the D means and the D variances, as float32.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.tasks.task import Arrays
from app.feedback.tasks.task import FeedbackTask, Judgement, Region, Truth

MOST = 64
"""Most targets of a head with receipts: 512 bytes."""
_MOST_VALUE = float(np.finfo(np.float32).max)


class RegressionFeedback(FeedbackTask):
    """All regressors of at most 64 targets; a log loss only of those that predict a variance."""

    needed = ("prediction", "variance")

    def why_none(self, head: Head) -> str | None:
        """A receipt has a bounded size."""
        return f"a head of more than {MOST} targets has no receipts" if len(head.targets) > MOST else None

    def figures(self, head: Head, found: Arrays) -> list[tuple[bytes, ...]]:
        """Means and variances."""
        means, variances = (np.ascontiguousarray(found[name], "<f4") for name in self.needed)
        size = 4 * means.shape[1]
        mean, variance = means.tobytes(), variances.tobytes()
        return [(mean[at : at + size], variance[at : at + size]) for at in range(0, len(mean), size)]

    def fits(self, head: Head, figures: Sequence[bytes]) -> bool:
        """D means and D variances."""
        return [len(part) for part in figures] == 2 * [4 * len(head.targets)]

    def losses(self, head: Head) -> tuple[str, ...]:
        """The squared error of each target, in its squared unit, and the log loss of all in nats."""
        return (*(f"squared error {target.name}" for target in head.targets), *(("nll",) if head.scores else ()))

    def regions(self, head: Head) -> tuple[Region, ...]:
        """Each interval of each target: they are promised one by one."""
        return tuple(
            Region(f"interval {one.coverage:g} {target.name}", one.coverage, one.rows)
            for one in (head.calibration.intervals if head.calibration else ())
            for target in head.targets
        )

    def truth(self, head: Head, given: Truth) -> NDArray[np.float64]:
        """One number, or D of them."""
        values: Any = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(values) != len(head.targets) or len(numbers) != len(values):
            one = "a number" if len(head.targets) == 1 else f"{len(head.targets)} numbers"
            raise ValueError(f"expected {one}: {', '.join(target.name for target in head.targets)}")
        if any(not abs(value) <= _MOST_VALUE for value in numbers):  # squares of larger ones may be infinite
            raise ValueError("expected numbers that float32 can hold, as the answers are")
        return np.array(numbers, np.float64)

    def judge(self, head: Head, figures: Sequence[bytes], truth: NDArray[np.float64]) -> Judgement:
        """(y − mean)², and the log loss of the normal distributions with these means and variances."""
        mean32, variance32 = (np.frombuffer(part, "<f4") for part in figures)
        errors = truth - mean32
        variance = np.maximum(variance32.astype(np.float64), np.finfo(np.float32).tiny)
        losses = {f"squared error {target.name}": error * error for target, error in zip(head.targets, errors.tolist())}
        if head.scores:
            losses["nll"] = float(0.5 * (np.log(2 * math.pi * variance) + errors * errors / variance).sum())
        covered: list[bool] = []
        for one in head.calibration.intervals if head.calibration else ():
            reach = np.array(one.factors, np.float32) * np.sqrt(variance32)  # the ends as they were answered
            covered += ((mean32 - reach <= truth) & (truth <= mean32 + reach)).tolist()
        return Judgement(losses, tuple(covered))
