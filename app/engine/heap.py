"""Gives freed memory back to the system, which glibc alone would keep after large bodies and models that left."""

import asyncio
import ctypes
import threading
import weakref
from collections.abc import Callable
from functools import cache

MUCH = 2**25
"""Bytes that must have been freed to be worth a look at the whole heap."""
SECONDS = 1.0
"""How long after that, and how often at most; until then the next requests can use what is free."""
_LITTLE = 8  # an eighth of what was freed may be in use: while more is, it will be used again


class Heap:
    """Trims the heap once much was freed and little is in use.

    Works in the running event loop; trimming itself, which takes milliseconds, in a thread.

    Args:
        in_use: how many bytes requests hold now.
        trim: gives back what is free; None where the C library cannot.
    """

    def __init__(self, in_use: Callable[[], int], trim: Callable[[], object] | None) -> None:
        self._in_use = in_use
        self._trim = trim
        self._freed = 0
        self._looks = False

    def freed(self, size: int) -> None:
        """Notes that so many bytes were freed."""
        self._freed += size
        if self._freed >= MUCH and not self._looks and self._trim is not None:
            self._look_later()

    def _look_later(self) -> None:
        self._looks = True
        asyncio.get_running_loop().call_later(SECONDS, self._look)

    def _look(self) -> None:
        if self._in_use() * _LITTLE > self._freed:
            self._look_later()
            return
        self._looks = False
        self._freed = 0
        asyncio.get_running_loop().run_in_executor(None, self._trim)  # type: ignore[arg-type]


def trim_after(held: object) -> None:
    """Trims the heap a while after an object that holds much is gone, whichever thread lets go of it."""
    if (trim := glibc_trim()) is not None:
        weakref.finalize(held, _trim_later, trim).atexit = False


def _trim_later(trim: Callable[[], object]) -> None:
    timer = threading.Timer(SECONDS, trim)
    timer.daemon = True
    timer.start()


@cache
def glibc_trim() -> Callable[[], object] | None:
    """A function that gives all free pages back; None where the C library is not glibc."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl and macOS lack it, Windows has no such handle
        return None
    return lambda: trim(0)
