"""gRPC's server on a port of its own, in the event loop of the service."""

import asyncio
import logging

from grpc import aio

from app.api.grpc import health, reflection, service
from app.api.grpc.rpc import KEYLESS, Reception
from app.api.services import Services
from app.auth.guard import Guard
from app.failures import StartError

_log = logging.getLogger(__name__)

_IDLE_MS = 300_000  # then a connection without calls is closed
_AGE_MS = 300_000  # then a connection is closed once its calls are answered, and clients may reach another replica
_GRACE_MS = 30_000  # beside the longest wait in the queue; then also those whose client does not read its answers
_PING_MS = 60_000  # a client that does not answer one within 20 seconds is gone
_LATEST_SECONDS = 0.2  # gRPC cancels calls that come just as it stops; until then they are told that it is over
_LARGEST_HEAD = 2**16  # bytes, as over HTTP


class GrpcServer:
    """Serves the protocol, health and reflection.

    Args:
        most: connections that are open at once, and calls that are at work; one more is refused. Health and reflection,
            which need no key, do not count.
    """

    def __init__(self, services: Services, guard: Guard, most: int) -> None:
        self._services = services
        self._reception = Reception(services, guard)
        self._most = most

    port = 0
    """Where it listens, once it does."""

    async def start(self) -> None:
        """Listens.

        Raises:
            StartError: the port is taken.
        """
        settings = self._services.settings
        self._server = aio.server(
            maximum_concurrent_rpcs=self._most + KEYLESS,
            options=[
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.absolute_max_metadata_size", _LARGEST_HEAD),
                ("grpc.max_metadata_size", _LARGEST_HEAD),
                ("grpc.server_handshake_timeout_ms", round(1000 * settings.head_timeout_seconds)),
                ("grpc.max_allowed_incoming_connections", self._most),
                ("grpc.max_connection_idle_ms", _IDLE_MS),
                ("grpc.max_connection_age_ms", _AGE_MS),
                ("grpc.max_connection_age_grace_ms", settings.queue_timeout_ms + _GRACE_MS),
                ("grpc.keepalive_time_ms", _PING_MS),
                # several workers listen on it; or else a second process could, unnoticed
                ("grpc.so_reuseport", int(settings.workers > 1)),
            ],
        )
        self._server.add_generic_rpc_handlers(
            [kind.handlers(self._reception) for kind in (service, health, reflection)]
        )
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        try:
            self.port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")
        except RuntimeError as error:
            raise StartError(f"MASKSEMBLES_GRPC_PORT={settings.grpc_port}: {error}") from None
        await self._server.start()
        _log.info("gRPC on %s:%d", host, self.port)

    async def stop(self, grace: float) -> None:
        """Takes no new calls, and waits for those at work.

        Args:
            grace: seconds, after which the rest is cancelled.
        """
        self._reception.closed = True
        if grace:
            await asyncio.sleep(_LATEST_SECONDS)
        await self._server.stop(grace)
