"""A transport that closes gently: what the client still sends is read and thrown away first, within bounds. It also
sends the head of an answer together with what follows.

A connection that is closed with data unread is reset, and the client may never see the answer that it was sent: many
read nothing before they have sent everything.
"""

from asyncio import Transport
from collections.abc import Callable
from typing import Any

MOST_BYTES = 2**26
"""How much is thrown away at most; what is over is reset."""
MOST_SECONDS = 5.0
"""For how long at most: a refusal must not become a way to hold connections."""


class LingeringTransport:
    """Closes at once if its client owes nothing. Else it closes when the client does, or when a bound is reached; the
    client is told at once that nothing more will come.

    Args:
        transport: the real one; what is not defined here is done by it.
        now: the clock of the event loop.
    """

    def __init__(self, transport: Transport, now: Callable[[], float]) -> None:
        self.is_sending = False
        """Whether the client has begun to send something that it has not ended; the protocol says so. To ask it would
        make a cycle of references, and connections would stay in memory until the garbage is collected."""
        self._transport = transport
        self._now = now
        self._since: float | None = None
        self._left = MOST_BYTES
        self._send = transport.write  # not looked up anew for each of thousands of answers a second
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Sends it. The head of an answer waits for the next write, or for `flush`: uvicorn writes it by itself, and it
        would be a packet of its own."""
        if self._head:
            data, self._head = b"".join((self._head, data)), b""
        elif data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 100 "):
            self._head = data
            return
        self._send(data)

    def flush(self) -> None:
        """Sends what waits."""
        if self._head:
            head, self._head = self._head, b""
            self._send(head)

    def is_closing(self) -> bool:
        """Whether it is closed, or will be."""
        return self._since is not None or self._transport.is_closing()

    def close(self) -> None:
        """Sends what is written, and closes as soon as may be."""
        if self.is_closing():
            return
        self.flush()
        if not self.is_sending:
            self._transport.close()
            return
        self._since = self._now()
        self._transport.write_eof()
        self._transport.resume_reading()

    def discard(self, size: int) -> None:
        """Notes that so many bytes have come since it was closed."""
        self._left -= size
        if self._left < 0:
            self._transport.close()

    def end_if_overdue(self, now: float) -> None:
        """Closes it if its client takes too long."""
        if self._since is not None and now - self._since > MOST_SECONDS:
            self._transport.close()
