"""gRPC's own health service, for load balancers and orchestrators: SERVING exactly while `/health/ready` is 200."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from app.api.grpc.messages import SERVICE
from app.api.health import why_not_ready
from app.api.services import Services

NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_SECONDS = 0.2  # between two looks, for those who watch
_KNOWN = ("", SERVICE)  # the empty name stands for the whole server
_Response = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # it has no types
    """Looks when it is asked. The library's own servicer has to be told, and holds up the end for those who watch."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        """The health of the server, or of the one service that it has."""
        if request.service not in _KNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"unknown service; there is {SERVICE}")
        return _Response(status=self._status())

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """The same whenever it changes; ends when the service is stopping."""
        told: int | None = None
        while True:
            stopping = self._services.stopping
            status = self._status() if request.service in _KNOWN else _Response.SERVICE_UNKNOWN
            if status != told:
                yield _Response(status=status)
                told = status
            if stopping:
                return
            await asyncio.sleep(_SECONDS)

    def _status(self) -> int:
        ready = why_not_ready(self._services) is None
        status: int = _Response.SERVING if ready else _Response.NOT_SERVING
        return status
