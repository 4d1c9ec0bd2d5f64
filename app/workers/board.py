"""Who of a service's workers is there, and who is ready: a few numbers in memory that all of them see."""

import mmap
import time
from collections.abc import Callable
from pathlib import Path

_NUMBER = 8  # bytes of a float64
_SILENT_SECONDS = 5.0  # an event loop that works to capacity says something ten times as often


class Board:
    """One number for each worker: when it was last heard of, negative while it is not ready; 0 if it is not there.

    A number is written and read in one step by the processor, so there is no lock that a dying worker could keep.

    Args:
        file: is made where there is none.
        count: how many workers there are.
        clock: seconds, the same in all processes.
    """

    def __init__(self, file: Path, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.count = count
        self._clock = clock
        with file.open("a+b") as opened:
            opened.truncate(count * _NUMBER)
            self._heard = memoryview(mmap.mmap(opened.fileno(), count * _NUMBER)).cast("d")

    def note(self, index: int, ready: bool) -> None:
        """A worker is there, and says whether it is ready."""
        now = self._clock()
        self._heard[index] = now if ready else -now

    def remove(self, index: int) -> None:
        """A worker is not there any more."""
        self._heard[index] = 0.0

    def is_there(self, index: int) -> bool:
        """Whether a worker has been heard of."""
        return self._heard[index] != 0

    def silent_for(self, index: int) -> float:
        """How many seconds a worker that is there was not heard of; 0 for one that is not."""
        heard = abs(self._heard[index])
        return self._clock() - heard if heard else 0.0

    def missing(self) -> str | None:
        """Why not all workers are ready; None if they are."""
        for index, heard in enumerate(self._heard.tolist()):
            if heard <= 0 or self.silent_for(index) > _SILENT_SECONDS:
                why = "is starting" if heard == 0 else "is not ready" if heard < 0 else "does not answer"
                return f"worker {index + 1} of {self.count} {why}"
        return None
