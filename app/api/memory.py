"""One bound on what requests hold in memory: bodies being read, inputs that wait, and answers being written.

The gateway gives each request a `Held` and releases it when the request has ended, however that comes about. Only the
event loop touches it.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from fastapi import Request

from app.engine.heap import Heap, glibc_trim
from app.engine.memory_size import memory_size
from app.errors import MemoryFull

SMALL = 2**16
"""Bytes up to which a request is small. Small requests have a share that large ones leave to them."""
_SHARE = 4
"""The default budget is this part of the memory: what is decoded or encoded exists twice for a moment, so requests take
half of it at worst, and models and libraries have the other half."""
_RESERVE = 8  # the part of the budget that is left to small requests
_RETRY_SECONDS = 1  # most requests hold their memory for less


def budget_size(megabytes: int | None) -> int:
    """The budget in bytes: as set, in MiB, or a quarter of the memory of the container or machine."""
    return memory_size() // _SHARE if megabytes is None else megabytes * 2**20


class MemoryBudget:
    """What all requests together may hold, in bytes.

    A large request that is alone always fits, or one above the budget could never be answered.

    Args:
        size: most bytes, estimates and the copies that a step makes left aside.
        refused: is called for each refusal.
    """

    def __init__(self, size: int, refused: Callable[[], None] = lambda: None) -> None:
        self.size = size
        self._refused = refused
        self._small = 0
        self._large = 0
        self._heap = Heap(lambda: self.held, glibc_trim())

    @property
    def held(self) -> int:
        """Bytes that requests hold."""
        return self._small + self._large

    def hold(self) -> "Held":
        """What a new request holds: nothing yet."""
        return Held(self)

    def move(self, old: int, new: int) -> None:
        """Changes what one request holds from `old` to `new` bytes.

        Raises:
            MemoryFull: it is to hold more, and that does not fit; it goes on holding the old size.
        """
        small = self._small - (old if old <= SMALL else 0)
        large = self._large - (old if old > SMALL else 0)
        if new > old and not self._fits(small, large, new):
            self._refused()
            raise MemoryFull(
                f"requests hold {self.held} bytes of at most {self.size} (MASKSEMBLES_MEMORY_BUDGET_MB), "
                f"which leaves no memory for the {new} of this one",
                _RETRY_SECONDS,
            )
        self._small = small + (new if new <= SMALL else 0)
        self._large = large + (new if new > SMALL else 0)
        if new < old and old > SMALL:  # small ones come from memory that small ones freed
            self._heap.freed(old - new)

    def _fits(self, small: int, large: int, new: int) -> bool:
        """Whether a request fits beside what others hold."""
        reserve = self.size // _RESERVE
        if new <= SMALL:
            return small + new <= reserve or small + large + new <= self.size
        return large == 0 or large + max(small, reserve) + new <= self.size


class Held:
    """What one request holds. A context manager, at whose end it holds nothing."""

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self._size = 0

    @property
    def most(self) -> int:
        """What a request can hold at most."""
        return self._budget.size

    def resize(self, size: int) -> None:
        """Sets how many bytes the request holds from now on.

        Raises:
            MemoryFull: it is more than before, and does not fit.
        """
        self._budget.move(self._size, size)
        self._size = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.resize(0)


def held(request: Request) -> Held:
    """What the gateway lets a request hold."""
    found: Held = request.scope["state"]["memory"]
    return found
