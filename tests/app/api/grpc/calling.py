"""The service with gRPC in this process, and what calls it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import numpy as np
from numpy.typing import NDArray

from app.api.grpc.messages import METHODS, SERVICE, InferRequest, message
from app.api.grpc.server import GrpcServer
from app.api.middleware import Gateway
from app.auth.guard import Guard
from app.connections import Connections
from app.http_protocol import protocol_among
from tests.serving import application, in_thread

DATATYPES = {"float32": "FP32", "float64": "FP64", "uint8": "UINT8", "int64": "INT64", "int32": "INT32", "bool": "BOOL"}


class Failure(NamedTuple):
    """How a call failed."""

    status: str
    message: str
    metadata: dict[str, str]


class Callee(NamedTuple):
    """A service, over both transports."""

    http: httpx.Client
    target: str
    app: Gateway
    channel: grpc.Channel

    def rpc(self, called: str, metadata: dict[str, str] | None = None, **fields: Any) -> Any:
        """Calls an RPC with a message of these fields; returns its answer, or how it failed."""
        return self.send(called, message(METHODS[called].input_type.name)(**fields).SerializeToString(), metadata)

    def send(
        self, name: str, body: bytes, metadata: dict[str, str] | None = None, timeout: float | None = 30, **options: Any
    ) -> Any:
        """Calls an RPC with these bytes."""
        answer = message(METHODS[name].output_type.name).FromString
        call = self.channel.unary_unary(f"/{SERVICE}/{name}", response_deserializer=answer)
        try:
            return call(body, timeout=timeout, metadata=tuple((metadata or {}).items()), **options)
        except grpc.RpcError as error:
            return Failure(error.code().name, error.details(), dict(error.trailing_metadata() or ()))


@contextmanager
def calling(
    folder: Path, guard: Guard | None = None, models: Any = None, most: int = 100, **settings: Any
) -> Iterator[Callee]:
    """The service over a folder of models, called over gRPC."""
    app = application(folder, models=models, guard=guard, grpc_port=0, **settings)
    with in_thread(app, protocol_among(Connections(1000, 10))) as client:
        loop = app.services.batcher._loop
        server = GrpcServer(app.services, guard or Guard(), most)
        asyncio.run_coroutine_threadsafe(server.start(), loop).result()
        target = f"127.0.0.1:{server.port}"
        try:
            with grpc.insecure_channel(target, [("grpc.max_receive_message_length", -1)]) as channel:
                yield Callee(client, target, app, channel)
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(0), loop).result()


def request(model: str, rows: NDArray[Any], name: str = "input", **fields: Any) -> Any:
    """A message with one input as bytes."""
    made = InferRequest(model_name=model, raw_input_contents=[rows.tobytes()], **fields)
    made.inputs.add(name=name, datatype=DATATYPES[str(rows.dtype)], shape=rows.shape)
    return made


def arrays(answer: Any) -> dict[str, NDArray[Any]]:
    """The outputs of an answer by name."""
    dtypes = {datatype: dtype for dtype, datatype in DATATYPES.items()}
    return {
        output.name: np.frombuffer(raw, dtypes[output.datatype]).reshape(output.shape)
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
    }
