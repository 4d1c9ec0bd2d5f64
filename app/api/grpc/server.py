"""gRPC's server on a port of its own, in the event loop of the service."""

import asyncio
import logging

from google.protobuf import descriptor_pb2
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from app.api.grpc import service
from app.api.grpc.health import NAME, Health
from app.api.grpc.messages import POOL, SERVICE
from app.api.grpc.rpc import Reception
from app.api.services import Services
from app.auth.guard import Guard
from app.errors import StartError

_log = logging.getLogger(__name__)

_IDLE_MS = 300_000  # then a connection without calls is closed
_PING_MS = 60_000  # a client that does not answer one within 20 seconds is gone
_LATEST_SECONDS = 0.2  # gRPC cancels calls that come just as it stops; until then they are told that it is over
_LARGEST_HEAD = 2**16  # bytes, as over HTTP


class GrpcServer:
    """Serves the protocol, health and reflection.

    Args:
        calls: most that are at work at once; one more is refused.
    """

    def __init__(self, services: Services, guard: Guard, calls: int) -> None:
        self._services = services
        self._reception = Reception(services, guard)
        self._calls = calls

    port = 0
    """Where it listens, once it does."""

    async def start(self) -> None:
        """Listens.

        Raises:
            StartError: the port is taken.
        """
        settings = self._services.settings
        self._server = aio.server(
            maximum_concurrent_rpcs=self._calls,
            options=[
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.absolute_max_metadata_size", _LARGEST_HEAD),
                ("grpc.max_metadata_size", _LARGEST_HEAD),
                ("grpc.server_handshake_timeout_ms", round(1000 * settings.head_timeout_seconds)),
                ("grpc.max_connection_idle_ms", _IDLE_MS),
                ("grpc.keepalive_time_ms", _PING_MS),
                ("grpc.so_reuseport", 0),  # or a second process could listen on the same port, unnoticed
            ],
        )
        self._server.add_generic_rpc_handlers((service.handlers(self._reception),))
        health_pb2_grpc.add_HealthServicer_to_server(Health(self._services), self._server)
        for file in (health_pb2, reflection_pb2):
            _know(file.DESCRIPTOR)
        reflection.enable_server_reflection((SERVICE, NAME, reflection.SERVICE_NAME), self._server, pool=POOL)
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


def _know(file: object) -> None:
    """Lets reflection tell of a service that is not in our file."""
    copied = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copied)  # type: ignore[attr-defined]
    POOL.Add(copied)
