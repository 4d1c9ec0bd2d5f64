"""uvicorn, stopped so that nobody loses an answer."""

import asyncio
import signal
import socket
import time
from types import FrameType

import uvicorn

from app.api.middleware import Gateway
from app.http_protocol import HttpProtocol

_LINGER_SECONDS = 1.0
_LATEST_SECONDS = 0.2
_DOORS = 16


class Server(uvicorn.Server):
    """Serves an application until SIGTERM or SIGINT, then ends with everything answered that was accepted.

    From the signal on `/health/ready` is 503 and answers carry `Connection: close`, so that clients with an open
    connection leave it between requests. After a second, or with the last connection, no new ones are accepted; what
    is at work is finished within the grace time. A second SIGINT ends at once.

    Args:
        grace: for how many seconds accepted requests may still take.
    """

    def __init__(self, app: Gateway, host: str, port: int, grace: int) -> None:
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=HttpProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=grace,
        )
        super().__init__(config)
        self._app = app
        self._signalled: float | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serves. The event loop takes one connection a pass from each socket that it listens on.

        Under overload a pass is long, and new clients, health checks among them, would wait for seconds: so it listens
        on several handles of one socket.
        """
        if sockets is None:
            door = self.config.bind_socket()
            sockets = [door, *(door.dup() for _ in range(_DOORS - 1))]
        super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does. uvicorn would raise it once more in the end, and the exit status would not be 0."""
        if self._signalled is not None:
            self.should_exit = True
            self.force_exit = sig == signal.SIGINT
            return
        self._signalled = time.monotonic()
        self._app.services.stopping = True
        closing = (b"connection", b"close")
        self.config.encoded_headers.append(closing)
        self.server_state.default_headers = [*self.server_state.default_headers, closing]

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop accepting."""
        if self._signalled is not None:
            over = time.monotonic() - self._signalled >= _LINGER_SECONDS
            self.should_exit = self.should_exit or over or not self.server_state.connections
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accepts no more connections; on the latest a request may be under way that nobody has read yet."""
        for server in self.servers:
            server.close()
        if self.server_state.connections and not self.force_exit:
            await asyncio.sleep(_LATEST_SECONDS)
        await super().shutdown(sockets)
