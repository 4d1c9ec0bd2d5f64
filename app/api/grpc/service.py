"""The RPCs of the protocol: they tell what v2 over REST tells, and infer by the one way of a request."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import grpc
from google.protobuf.json_format import ParseDict
from pydantic import BaseModel

from app.api.grpc.exchange import RpcExchange, read_message
from app.api.grpc.infer_call import RpcInferCall
from app.api.grpc.messages import METHODS, SERVICE, message
from app.api.grpc.rpc import Reception, Rpc
from app.api.health import why_not_ready
from app.api.inference import answer
from app.api.models import administered_by
from app.api.services import Services
from app.api.v2 import models, reports
from app.engine.reconciler import Reconciler
from app.errors import InvalidInput, NotFound

Answer = Mapping[str, Any] | BaseModel


class _Method(NamedTuple):
    path: str
    """The path over HTTP that does the same."""
    serve: Callable[[Services, Any], Answer | Awaitable[Answer]]
    """Takes the message, returns the fields of the answer."""


def handlers(reception: Reception) -> grpc.GenericRpcHandler:
    """What gRPC calls for each RPC of the service; others it answers with UNIMPLEMENTED by itself."""
    found = {name: _handler(reception, name, method) for name, method in _PLAIN.items()}
    infer = f"/{SERVICE}/ModelInfer"
    found["ModelInfer"] = reception.handler(infer, "/v2/models/_/infer", _infer, recorded=True)
    found["ModelStreamInfer"] = reception.handler(f"/{SERVICE}/ModelStreamInfer", "/v2/models/_/infer", _stream)
    return grpc.method_handlers_generic_handler(SERVICE, found)


def _handler(reception: Reception, name: str, method: _Method) -> Any:
    request = message(METHODS[name].input_type.name)
    response = message(METHODS[name].output_type.name)

    async def serve(rpc: Rpc) -> bytes:
        given = await read_message(rpc, request)
        found = method.serve(rpc.services, given)
        if isinstance(found, Awaitable):
            found = await found
        fields = found.model_dump(exclude_none=True) if isinstance(found, BaseModel) else found
        written: bytes = ParseDict(fields, response()).SerializeToString()
        return written

    return reception.handler(f"/{SERVICE}/{name}", method.path, serve)


async def _infer(rpc: Rpc) -> bytes:
    return await answer(RpcExchange(rpc), RpcInferCall(rpc.services.settings.max_rows))


async def _stream(rpc: Rpc) -> bytes:
    raise NotFound("there are no streams of inferences here: send each as a ModelInfer, as many at once as you like")


def _live(of: Services, _: Any) -> Answer:
    return {"live": of.batcher.watchdog.hopeless() is None}


def _ready(of: Services, _: Any) -> Answer:
    return {"ready": why_not_ready(of) is None}


def _server(of: Services, _: Any) -> Answer:
    return reports.SERVER


def _model_ready(of: Services, given: Any) -> Answer:
    return {"ready": reports.is_ready(of, models.named(given.name, given.version))}


def _model_metadata(of: Services, given: Any) -> Answer:
    return reports.metadata(of, of.registry.find(*models.named(given.name, given.version)))


def _model_config(of: Services, given: Any) -> Answer:
    found = of.registry.find(*models.named(given.name, given.version))
    return {"config": reports.config(of.settings, found).model_dump(exclude_none=True)}


def _statistics(of: Services, given: Any) -> Answer:
    if not given.name and not given.version:
        return reports.statistics(of)
    return reports.statistics(of, of.registry.find(*models.named(given.name, given.version)))


def _index(of: Services, given: Any) -> Answer:
    _check_repository(given)
    entries = reports.index(of.registry, only_ready=given.ready)
    return {"models": [entry.model_dump(exclude_none=True) for entry in entries]}


async def _load(of: Services, given: Any) -> Answer:
    reconciler, name = _administered(of, given)
    if given.parameters:
        raise InvalidInput("models are loaded as they lie in the repository, without parameters", "parameters")
    await asyncio.to_thread(reconciler.load, name)
    return {}


async def _unload(of: Services, given: Any) -> Answer:
    reconciler, name = _administered(of, given)
    await asyncio.to_thread(reconciler.unload, name)
    return {}


def _administered(of: Services, given: Any) -> tuple[Reconciler, str]:
    reconciler = administered_by(of)
    _check_repository(given)
    return reconciler, models.read_name(given.model_name, "model_name")


def _check_repository(given: Any) -> None:
    if given.repository_name:
        raise InvalidInput("there is one repository, without a name", "repository_name")


_PLAIN = {
    "ServerLive": _Method("/v2/health/live", _live),
    "ServerReady": _Method("/v2/health/ready", _ready),
    "ServerMetadata": _Method("/v2", _server),
    "ModelReady": _Method("/v2/models/_/ready", _model_ready),
    "ModelMetadata": _Method("/v2/models/_", _model_metadata),
    "ModelConfig": _Method("/v2/models/_/config", _model_config),
    "ModelStatistics": _Method("/v2/models/_/stats", _statistics),
    "RepositoryIndex": _Method("/v2/repository/index", _index),
    "RepositoryModelLoad": _Method("/v2/repository/models/_/load", _load),
    "RepositoryModelUnload": _Method("/v2/repository/models/_/unload", _unload),
}
