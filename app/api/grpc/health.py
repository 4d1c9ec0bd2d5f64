"""gRPC's own health service, for load balancers and orchestrators: SERVING exactly while `/health/ready` is 200.

Written here because the library's has to be told, holds up the end for those who watch, and waits for messages without
a bound.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from app.api.grpc.exchange import read_message
from app.api.grpc.messages import SERVICE
from app.api.grpc.rpc import Places, Reception, Rpc
from app.api.health import why_not_ready
from app.api.services import Services
from app.errors import UnknownModel

NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_PATH = "/health/ready"
_SECONDS = 0.2  # between two looks, for those who watch
_KNOWN = ("", SERVICE)  # the empty name stands for the whole server
_Response = health_pb2.HealthCheckResponse


def handlers(reception: Reception) -> grpc.GenericRpcHandler:
    """What gRPC calls for each RPC of the service."""
    return grpc.method_handlers_generic_handler(
        NAME,
        {
            "Check": reception.handler(f"/{NAME}/Check", _PATH, _check),
            "Watch": reception.handler(f"/{NAME}/Watch", _PATH, _watch, places=Places()),
        },
    )


async def _check(rpc: Rpc) -> bytes:
    """The health of the server, or of the one service that it has."""
    given = await read_message(rpc, health_pb2.HealthCheckRequest)
    if given.service not in _KNOWN:
        raise UnknownModel(f"unknown service; there is {SERVICE}")  # the protocol of health says NOT_FOUND
    return _answer(_status(rpc.services))


async def _watch(rpc: Rpc) -> bytes:
    """The same whenever it changes; ends when the service is stopping."""
    given = await read_message(rpc, health_pb2.HealthCheckRequest)
    told: int | None = None
    while True:
        stopping = rpc.services.stopping
        status: int = _status(rpc.services) if given.service in _KNOWN else _Response.SERVICE_UNKNOWN
        if stopping:
            return _answer(status)
        if status != told:
            await rpc.context.write(_answer(status))
            told = status
        await asyncio.sleep(_SECONDS)


def _status(of: Services) -> int:
    status: int = _Response.SERVING if why_not_ready(of) is None else _Response.NOT_SERVING
    return status


def _answer(status: int) -> bytes:
    written: bytes = _Response(status=status).SerializeToString()
    return written
