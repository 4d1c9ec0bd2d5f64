"""uvicorn with a shutdown in which no accepted request loses its answer."""

import asyncio
import faulthandler
import os
import signal
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from app.api.middleware import Gateway
from app.connections import Connections
from app.entrance import Entrance
from app.http_protocol import protocol_among

_LINGER_SECONDS = 1.0  # for those who ask /health/ready to see the 503
_LATEST_SECONDS = 0.2  # a request sent just before is on its way
_CLOSING_SECONDS = 8.0  # to end the threads of the service once nothing is at work
_DOORS = 16  # connections accepted in a pass of the loop


class Beside(Protocol):
    """Another server in the same event loop."""

    async def start(self) -> None:
        """Listens."""

    async def stop(self, grace: float) -> None:
        """Takes nothing new, and waits that many seconds for what is at work."""


class Server(uvicorn.Server):
    """Serves an application until SIGTERM or SIGINT, then answers every accepted request before it exits.

    From the signal on, `/health/ready` is 503 and responses carry `Connection: close`, so that clients leave open
    connections between requests. After a second, or when the last connection closes, it accepts no new ones; requests
    at work finish within the grace time. A second SIGINT ends at once. If something hangs, the watchdog ends the
    process a few seconds after the grace time.

    Args:
        grace: how many seconds accepted requests may still take.
        connections: keeps those that it accepts in bounds.
        beside: serves another transport, from the start of this server to its end.
        tick: is called ten times a second while connections are accepted.
    """

    def __init__(
        self,
        app: Gateway,
        host: str,
        port: int,
        grace: int,
        connections: Connections,
        beside: Beside | None = None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=protocol_among(connections, Entrance(app)),
            ws="none",
            log_config=None,  # uvicorn's lines are JSON, too
            access_log=False,  # the gateway logs requests with their ids
            server_header=False,
            proxy_headers=False,  # nothing here looks at the client's address
            timeout_graceful_shutdown=grace,
        )
        super().__init__(config)
        self._app = app
        self._beside = beside
        self._tick = tick
        self._signalled: float | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves until the end.

        In each pass the event loop accepts one connection from every socket that it listens on. Under overload a pass
        is long, and new clients, health checks among them, would wait for seconds. So it listens on several handles of
        one socket.

        Args:
            sockets: one that is bound, if another process has done so.
        """
        (door,) = sockets or [self.config.bind_socket()]
        door.setblocking(False)  # before it is copied: a copy that may block makes all of them block, in every process
        super().run([door, *(door.dup() for _ in range(_DOORS - 1))])

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Handles signals meanwhile, and has the watchdog end the process if that takes too long."""
        with super().capture_signals(), _SignalNote() as note:
            accepted = self.config.timeout_graceful_shutdown or 0
            self._app.services.batcher.watchdog.end_when(
                lambda: self._signalled is not None or note.is_taken(),
                _LINGER_SECONDS + _LATEST_SECONDS + accepted + _CLOSING_SECONDS,
            )
            yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal. uvicorn's own would raise it again at the end, and the exit status would not be 0."""
        if self._signalled is not None:
            self.should_exit = True
            self.force_exit = sig == signal.SIGINT
            return
        self._signalled = time.monotonic()
        self._app.services.stopping = True
        closing = (b"connection", b"close")
        self.config.encoded_headers.append(closing)
        # uvicorn rebuilds this list from the encoded headers, but only once a second
        self.server_state.default_headers = [*self.server_state.default_headers, closing]

    async def on_tick(self, counter: int) -> bool:
        """Decides ten times a second whether to stop accepting."""
        self._tick()
        if self._signalled is not None:
            over = time.monotonic() - self._signalled >= _LINGER_SECONDS
            nobody = not self.server_state.connections and self._beside is None
            self.should_exit = self.should_exit or over or nobody
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens, for the other transport last: what its requests need is there then.

        Raises:
            StartError: the other transport cannot listen.
        """
        await super().startup(sockets)
        if self._beside is not None and not self.should_exit:
            await self._beside.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops accepting, then waits a moment: a request may be under way on a connection that was just accepted."""
        for server in self.servers:
            server.close()
        beside = None
        if self._beside is not None:
            grace = 0 if self.force_exit else self.config.timeout_graceful_shutdown or 0
            beside = asyncio.create_task(self._beside.stop(grace))
        if self.server_state.connections and not self.force_exit:
            await asyncio.sleep(_LATEST_SECONDS)
        if beside is not None:  # first: its requests need what the application ends
            await beside
        await super().shutdown(sockets)  # closes idle connections, whether or not a request is on its way


class _SignalNote:
    """Takes note of a signal even while a run hangs in the main thread, where no handler written in Python runs.

    faulthandler's does: it writes to a pipe, then calls the handler that was there before. Windows has neither that nor
    pipes that can be read without waiting.
    """

    _reader: int | None = None

    def __enter__(self) -> "_SignalNote":
        if hasattr(faulthandler, "register"):
            self._reader, writer = os.pipe()
            for end in (self._reader, writer):
                os.set_blocking(end, False)
            for sent in HANDLED_SIGNALS:
                faulthandler.register(sent, file=writer, all_threads=False, chain=True)
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(faulthandler, "unregister"):
            for sent in HANDLED_SIGNALS:
                faulthandler.unregister(sent)  # the pipe stays open: the watchdog may still look at it

    def is_taken(self) -> bool:
        """Whether a signal has come since the last time."""
        if self._reader is None:
            return False
        try:
            return bool(os.read(self._reader, 2**16))
        except BlockingIOError:
            return False
