"""Whether a new calibration of a head is better than its old one, on rows that neither has seen. No torch here."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np
from scipy.stats import beta, binom, norm

from app.contract.decisions import TOLERANCE
from app.contract.head import Head
from models.evaluation.answers import Answers
from models.evaluation.tasks import evaluator_of

LEVEL = 0.05
"""How likely chance alone makes a new calibration look better: half of it by the NLL, and half by any of the promises,
which share it (Bonferroni)."""
_UNLUCKY = 0.025
_SHOWN = 5


class Promise(NamedTuple):
    """A promise of a calibration, and what became of it on other rows."""

    name: str
    allowed: float
    """Most rows that may fail, as a share."""
    tolerated: float
    """The same, but for a calibration that drew unluckily: see `promises`."""
    rows: int
    failures: int

    def is_broken(self, level: float) -> bool:
        """Whether so many failures have at most this probability if the promise holds: an exact binomial test."""
        return bool(self.rows and binom.sf(self.failures - 1, self.rows, self.tolerated) <= level)

    def __str__(self) -> str:
        return f"{self.name}: {self.failures} of {self.rows} rows fail, {100 * self.allowed:g} % may"


def promises(head: Head, answers: Answers) -> Iterator[Promise]:
    """Every promise of a head's calibration: sets or intervals, and thresholds.

    A coverage is promised on average over calibrations. One on n rows may have drawn unluckily: its rate of failures
    follows Beta(n + 1 − l, l) with l = ⌈(n + 1)·coverage⌉, whose 97.5 % quantile is tolerated (Vovk 2012, arXiv
    1209.2673), as the service does. A risk is promised of the calibration at hand.
    """
    task = evaluator_of(head)
    for region in task.regions(head, answers):
        yield _coverage(region.name, region.coverage, region.rows, region.failed)
    scores, wrong = head.score_values(answers.outputs), task.wrong(answers)
    for one in head.calibration.thresholds if head.calibration else ():
        sign = -1.0 if one.score == "confidence" else 1.0
        within = sign * scores[one.score].astype(np.float64) <= sign * one.value + TOLERANCE * abs(one.value)
        name = f"{one.guarantee} {one.target:g} {one.score}"
        if one.guarantee == "coverage":
            yield _coverage(name, one.target, one.rows, ~within)
        elif wrong is not None:
            yield Promise(name, one.target, one.target, int(within.sum()), int(wrong[within].sum()))


def _coverage(
    name: str, coverage: float, calibrated: int, failed: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> Promise:
    order = ceil((calibrated + 1) * coverage - 1e-9)  # (n + 1)·0.9 may be a hair above a whole number
    tolerated = float(beta.ppf(1 - _UNLUCKY, calibrated + 1 - order, order))
    return Promise(name, round(1 - coverage, 9), tolerated, len(failed), int(failed.sum()))


@dataclass(frozen=True)
class Comparison:
    """An old and a new calibration on the same rows."""

    rows: int
    nll: tuple[float, float] | None
    """Mean of the old and of the new one, in nats; None if the answers have none."""
    gain: float
    """Standard errors by which the new NLL is lower, row by row; 0 if there is none."""
    old: tuple[Promise, ...]
    new: tuple[Promise, ...]

    @property
    def level(self) -> float:
        """That of each promise."""
        return LEVEL / 2 / max(1, len(self.old) + len(self.new))

    @property
    def broken(self) -> tuple[list[Promise], list[Promise]]:
        """The promises that the old calibration breaks, and those of the new one."""
        old, new = ([one for one in promises if one.is_broken(self.level)] for promises in (self.old, self.new))
        return old, new

    @property
    def is_better(self) -> bool:
        """A lower NLL, a broken promise less, or the first promises at all; and neither a higher NLL nor a broken
        promise that was kept."""
        old, new = ({one.name for one in broken} for broken in self.broken)
        clear = float(norm.isf(LEVEL / 2))
        better = self.gain >= clear or bool(old - new) or not self.old
        return better and self.gain > -clear and not new - old

    def describe(self) -> list[str]:
        """Both figures, as lines to print."""
        old, new = self.broken
        nll = "" if self.nll is None else "NLL {:.4f} before, {:.4f} now; ".format(*self.nll)
        return [
            f"{self.rows} rows kept aside: {nll}broken promises: {len(old)} of {len(self.old)} before, "
            f"{len(new)} of {len(self.new)} now",
            *_listed("before", old),
            *_listed("now", new),
        ]


def _listed(when: str, broken: list[Promise]) -> list[str]:
    more = [f"  and {len(broken) - _SHOWN} more"] if len(broken) > _SHOWN else []
    return [*(f"  broken {when}: {one}" for one in broken[:_SHOWN]), *more]


def compare(old: Head, by_old: Answers, new: Head, by_new: Answers) -> Comparison:
    """Compares two calibrations of a head by their answers to the same rows."""
    losses = [evaluator_of(head).log_losses(head, found) for head, found in ((old, by_old), (new, by_new))]
    before, now = losses
    nll, gain = None, 0.0
    if before is not None and now is not None:
        nll, less = (float(before.mean()), float(now.mean())), before - now
        error = float(less.std(ddof=1)) / len(less) ** 0.5
        gain = float(less.mean()) / error if error > 0 else 0.0
    return Comparison(len(by_new), nll, gain, tuple(promises(old, by_old)), tuple(promises(new, by_new)))
