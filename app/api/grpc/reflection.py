"""gRPC's reflection service: tells tools such as grpcurl what there is."""

from collections.abc import AsyncIterator

import grpc
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from app.api.grpc import health
from app.api.grpc.exchange import RpcExchange, parse
from app.api.grpc.messages import POOL, SERVICE
from app.api.grpc.rpc import Reception, Rpc

_NAME = reflection.SERVICE_NAME
_RPC = "ServerReflectionInfo"


def handlers(reception: Reception) -> grpc.GenericRpcHandler:
    """What gRPC calls for the RPC of the service. Open like health, and as bounded."""
    for file in (health_pb2, reflection_pb2):  # services that are not in our file
        copied = descriptor_pb2.FileDescriptorProto()
        file.DESCRIPTOR.CopyToProto(copied)
        POOL.Add(copied)
    servicer = reflection.aio.ReflectionServicer((SERVICE, health.NAME, _NAME), pool=POOL)

    async def serve(rpc: Rpc) -> None:
        exchange = RpcExchange(rpc)
        with exchange.cancellation():
            async for answer in servicer.ServerReflectionInfo(_requests(exchange), rpc.context):
                await rpc.context.write(answer.SerializeToString())

    return grpc.method_handlers_generic_handler(_NAME, {_RPC: reception.handler(f"/{_NAME}/{_RPC}", "/docs", serve)})


async def _requests(exchange: RpcExchange) -> AsyncIterator[object]:
    while (body := await exchange.next()) is not None:
        yield parse(reflection_pb2.ServerReflectionRequest, body)
