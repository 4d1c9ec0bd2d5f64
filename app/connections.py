"""The open connections of a server: they end when their clients take too long, and never become too many."""

import asyncio
import os
from contextlib import suppress
from typing import Protocol

from app.failures import StartError

_USUAL = 4096  # a connection that does nothing takes some 10 KB
_SPARE = 64  # descriptors for the server's doors, connections that are being closed, and files of models
_SECONDS_BETWEEN_LOOKS = 1.0
_AT_ONCE = 32  # connections looked at in a pass of the event loop: to end a thousand in one takes some 50 ms
_SECONDS_BETWEEN_PASSES = 0.005


class Connection(Protocol):
    """What may be closed for what its client does, or does not."""

    def end_if_overdue(self, now: float) -> None:
        """Closes it if its client has taken too long, by the clock of the event loop."""

    def waiting_since(self) -> float | None:
        """Since when it has waited for its client to send or to read; None if it is the service's turn."""

    def abandon(self) -> None:
        """Closes it at once, whatever is unsent."""


class Connections:
    """Looks at every connection once a second, and closes the longest idle ones where there are more than there may be.

    Args:
        most: how many may be open; one more while it has sent no request yet, or is being refused.
        head_seconds: how long the head of a request may take.
    """

    def __init__(self, most: int, head_seconds: float) -> None:
        self.most = most
        self.head_seconds = head_seconds
        self._open: dict[Connection, None] = {}  # in the order in which they came
        self._idle: dict[Connection, None] = {}  # in the order in which they became so
        self._unseen: list[Connection] = []  # of those open, in the look that is under way
        self._next_look: asyncio.TimerHandle | None = None
        self._seconds_between_looks = min(_SECONDS_BETWEEN_LOOKS, head_seconds / 4)

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Takes a connection that was just accepted; if it is one too many, the longest idle one is closed."""
        self._open[connection] = None
        self._idle[connection] = None
        if self._next_look is None:
            self._look_later(self._seconds_between_looks)
        self._close_idle(connection)

    def remove(self, connection: Connection) -> None:
        """Forgets a connection that is closed."""
        self._open.pop(connection, None)
        self._idle.pop(connection, None)

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for the first request of a connection, made by closing another one if need be.

        Where none is idle, that is the one that has waited longest for its client, if longer than a head may take.
        """
        if len(self._open) <= self.most or self._close_idle(connection):
            return True
        waiting = [(since, other) for other in self._open if (since := other.waiting_since()) is not None]
        since, longest = min(waiting, key=lambda pair: pair[0], default=(0.0, None))
        if longest is None or _now() - since <= self.head_seconds:
            return False
        self._close(longest)
        return True

    def begin(self, connection: Connection) -> None:
        """Notes that a request is at work."""
        self._idle.pop(connection, None)

    def rest(self, connection: Connection) -> None:
        """Notes that all its requests are answered."""
        if connection in self._open:
            self._idle[connection] = None

    def _close_idle(self, newcomer: Connection) -> bool:
        """Closes the longest idle one but the newcomer if there are too many; whether it did."""
        longest = next((other for other in self._idle if other is not newcomer), None)
        if longest is None or len(self._open) <= self.most:
            return False
        self._close(longest)
        return True

    def _close(self, connection: Connection) -> None:
        self.remove(connection)  # now: the event loop tells of its end later, and others may come before
        connection.abandon()

    def _look_later(self, seconds: float) -> None:
        self._next_look = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        now = _now()
        self._unseen = self._unseen or list(self._open)
        try:
            for connection in [self._unseen.pop() for _ in range(min(_AT_ONCE, len(self._unseen)))]:
                if connection in self._open:
                    connection.end_if_overdue(now)
        finally:  # without a next look, nothing would ever end a connection again
            self._next_look = None
            if self._open:
                self._look_later(_SECONDS_BETWEEN_PASSES if self._unseen else self._seconds_between_looks)


def _now() -> float:
    return asyncio.get_running_loop().time()


def most_connections(wanted: int | None, servers: int = 1, workers: int = 1) -> int:
    """How many connections may be open: those wanted, or by default what the process may open, at most 4096.

    Args:
        servers: how many there are, each of which may have as many.
        workers: how many processes share those wanted, or the 4096.

    Raises:
        StartError: the process may not open as many files.
    """
    limit = _most_files()
    left = _USUAL if limit is None else (limit - _open_files() - _SPARE) // servers
    share = None if wanted is None else -(-wanted // workers)
    if share is not None and share > left and limit is not None:
        raise StartError(
            f"MASKSEMBLES_MAX_CONNECTIONS={wanted}: expected at most {left * workers}, which is what a process that "
            f"may open {limit} files (ulimit -n) has left for connections"
        )
    if limit is not None and left < 1:
        raise StartError(
            f"the process may open {limit} files (ulimit -n); expected at least {_open_files() + _SPARE + servers}"
        )
    return share or min(left, _USUAL // workers)


def _most_files() -> int | None:
    """How many files and sockets the process may open; None for any number."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _open_files() -> int:
    with suppress(OSError):
        return len(os.listdir("/dev/fd"))
    return 0
