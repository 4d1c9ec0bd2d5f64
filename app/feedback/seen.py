"""Which receipts were counted, so that each counts once. This process alone knows, and only while it runs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST = 2**23
"""Most receipts that are remembered: 64 MiB."""
_HOUR = 3600  # seconds
_FEW = 2**14  # a set takes ten times the memory of a sorted array, but adds one in no time


class _Hour:
    """The receipts of answers given in one hour."""

    def __init__(self) -> None:
        self._few: set[int] = set()
        self._many: NDArray[np.uint64] = np.empty(0, np.uint64)

    def __len__(self) -> int:
        return len(self._few) + len(self._many)

    def add(self, number: int) -> bool:
        """Adds a receipt; False if it was there."""
        if number in self._few:
            return False
        at = int(np.searchsorted(self._many, np.uint64(number))) if len(self._many) else 0
        if at < len(self._many) and int(self._many[at]) == number:
            return False
        self._few.add(number)
        if len(self._few) >= _FEW:
            fresh = np.fromiter(self._few, np.uint64, len(self._few))
            self._many = np.union1d(self._many, fresh)
            self._few = set()
        return True


class Seen:
    """The receipts that were counted, for as long as they could come again.

    When there are too many, those of the oldest hour are forgotten, and receipts of that time are no longer taken:
    better a truth that is missing than one that counts twice.

    Args:
        most: how many are remembered.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._hours: dict[int, _Hour] = {}
        self.since = 0
        """Earlier receipts are not taken any more, in seconds since 1970."""

    def add(self, receipts: Sequence[tuple[int, int]], earliest: int) -> list[bool]:
        """Adds receipts, each a number of 64 bits and the time of its answer; says of each whether it is new.

        Args:
            earliest: receipts before that time do not come again.
        """
        for hour in [hour for hour in self._hours if (hour + 1) * _HOUR <= earliest]:
            del self._hours[hour]
        new = [self._hours.setdefault(time // _HOUR, _Hour()).add(number) for number, time in receipts]
        while sum(map(len, self._hours.values())) > self._most:
            oldest = min(self._hours)
            del self._hours[oldest]
            self.since = (oldest + 1) * _HOUR
        return new
