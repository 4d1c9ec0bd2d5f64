"""All tallies of the service: checks what comes back, and counts it once. Only the event loop counts."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.contract.head import Head
from app.contract.policy import Policy
from app.errors import InvalidInput
from app.feedback.receipt import Receipt, Receipts
from app.feedback.seen import Seen
from app.feedback.tally import Judged, Tally
from app.feedback.tasks.task import Truth

TallyKey = tuple[str, int, str]
"""Model, version and head."""
Find = Callable[[Receipt], tuple[Head, Policy | None]]
"""The head that a receipt names, and the policy on it; raises ValueError if there is none any more."""

_DAY = 86_400  # seconds
_MOST_TALLIES = 64  # of a service; each has some 50 series, which must not grow with every new version


class Claim(NamedTuple):
    """A receipt that came back, checked and judged, but not counted."""

    key: TallyKey
    tally: Tally
    number: int
    time: int
    judged: Judged


class Ledger:
    """The tallies by model, version and head.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, seen: Seen | None = None, clock: Callable[[], float] = time.time) -> None:
        self._seen = seen or Seen()
        self._clock = clock
        self._tallies: dict[TallyKey, Tally] = {}

    @property
    def tallies(self) -> dict[TallyKey, Tally]:
        """A copy: other threads read while the event loop counts."""
        return dict(self._tallies)

    def check(self, receipts: Receipts, days: float, given: Sequence[tuple[str, Truth]], find: Find) -> list[Claim]:
        """Checks receipts with their truths; counts nothing.

        Args:
            days: how long a receipt is taken.

        Raises:
            InvalidInput: one of them is not to be counted; the field says which, and so none is.
        """
        known = self.tallies
        claims: list[Claim] = []
        for row, (text, truth) in enumerate(given):
            try:
                receipt, number = receipts.read(text)
                self._check_age(receipt, days)
                key = (receipt.model, receipt.version, receipt.head)
                tally = known.get(key)
                if tally is None:
                    tally = known[key] = Tally(*find(receipt))
                tally.check(receipt)
            except ValueError as error:
                raise InvalidInput(str(error), f"feedback[{row}].receipt") from None
            try:
                judged = tally.judge(receipt, truth)
            except ValueError as error:
                raise InvalidInput(str(error), f"feedback[{row}].truth") from None
            claims.append(Claim(key, tally, number, receipt.time, judged))
        return claims

    def count(self, claims: Sequence[Claim], days: float) -> int:
        """Counts what this process has not counted before; returns how many rows that were."""
        earliest = int(self._clock() - days * _DAY)
        return self.add(claims, self._seen.add([(claim.number, claim.time) for claim in claims], earliest))

    def add(self, claims: Sequence[Claim], new: Sequence[bool]) -> int:
        """Counts those that are new, and the others as repeats; returns how many are new."""
        for claim, is_new in zip(claims, new):
            # another request may have made one meanwhile; and what changed last is at the end
            tally = self._tallies[claim.key] = self._tallies.pop(claim.key, claim.tally)
            if is_new:
                tally.count(claim.judged)
            else:
                tally.repeats += 1
        while len(self._tallies) > _MOST_TALLIES:
            del self._tallies[next(iter(self._tallies))]
        return sum(new)

    def _check_age(self, receipt: Receipt, days: float) -> None:
        if receipt.time < self._clock() - days * _DAY:
            raise ValueError(f"older than the {days:g} days that a receipt is taken (MASKSEMBLES_FEEDBACK_DAYS)")
        if receipt.time < self._seen.since:
            raise ValueError("too old: so many came since that nobody knows any more whether it was counted")
