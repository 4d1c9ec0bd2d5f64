"""The extensions around inference: the model repository, statistics, and configuration."""

from typing import Any, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.body import read_body
from app.api.json_errors import NOT_JSON, malformed, place
from app.api.memory import held
from app.api.models import administered
from app.api.services import services
from app.api.v2 import models, tensors
from app.api.v2.endpoint import PLATFORM
from app.api.v2.openapi import BAD_BODY, INDEX_REQUEST, LOAD_REQUEST, NAME, NO_MODEL, PATHS, UNLOAD_REQUEST, errors
from app.api.v2.repository_request import ControlRequest, IndexRequest
from app.api.v2.schemas import IndexEntry, ModelConfig, ModelStatistics
from app.contract.signature import Port
from app.engine.model_versions import AvailableModel, VersionStatus
from app.errors import AdminDisabled, InvalidInput, UnknownModel, VersionRejected
from app.telemetry.statistics import Duration

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_LONGEST_BODY = 2**16  # decoded in the event loop
_TYPES = {"float16": "TYPE_FP16", "float32": "TYPE_FP32", "float64": "TYPE_FP64", "str": "TYPE_STRING"}


_T = TypeVar("_T", IndexRequest, ControlRequest)


@router.post(
    "/repository/index",
    operation_id="v2_repository_index",
    summary="All models and versions in the repository",
    response_model_exclude_none=True,
    responses=errors(*BAD_BODY),
    openapi_extra={"requestBody": INDEX_REQUEST},
)
async def index(request: Request) -> list[IndexEntry]:
    """READY is what is available; UNAVAILABLE what is on standby, unloaded or rejected, and why."""
    selection = await _read(request, IndexRequest)
    registry = services(request).registry
    entries = [
        IndexEntry(name=name, version=str(version.number), state=_state(version), reason=_reason(version))
        for name, found in sorted(registry.models.items())
        for version in found.versions
    ]
    return [entry for entry in entries if entry.state == "READY" or not selection.ready]


@router.post(
    "/repository/models/{name}/load",
    operation_id="v2_repository_load",
    summary="Look for new versions of a model now",
    response_class=Response,
    responses={200: {"description": "It answers"}, **errors(*BAD_BODY, UnknownModel, VersionRejected, AdminDisabled)},
    openapi_extra={"parameters": [NAME], "requestBody": LOAD_REQUEST},
)
async def load(request: Request) -> Response:
    """Answers when the version that is to answer does. Models come from the repository
    only. Off unless MASKSEMBLES_ENABLE_ADMIN."""
    reconciler = administered(request)
    name = models.name(request)
    control = await _read(request, ControlRequest)
    if control.parameters:
        raise InvalidInput("models are loaded as they lie in the repository, without parameters", "parameters")
    await run_in_threadpool(reconciler.load, name)
    return Response()


@router.post(
    "/repository/models/{name}/unload",
    operation_id="v2_repository_unload",
    summary="Take a model out of service",
    response_class=Response,
    responses={200: {"description": "It answers no more"}, **errors(*BAD_BODY, UnknownModel, AdminDisabled)},
    openapi_extra={"parameters": [NAME], "requestBody": UNLOAD_REQUEST},
)
async def unload(request: Request) -> Response:
    """What it is at work on is finished. Off unless MASKSEMBLES_ENABLE_ADMIN."""
    reconciler = administered(request)
    name = models.name(request)
    await _read(request, ControlRequest)
    await run_in_threadpool(reconciler.unload, name)
    return Response()


@router.get(
    "/models/stats",
    operation_id="v2_statistics",
    summary="What all models have done",
)
async def all_statistics(request: Request) -> ModelStatistics:
    """Counts and nanoseconds since each version was first asked."""
    registry = services(request).registry
    available = [model for _, found in sorted(registry.models.items()) for model in found.available]
    return ModelStatistics(model_stats=[_statistics(request, model) for model in available])


async def statistics(request: Request) -> ModelStatistics:
    """Counts and nanoseconds since it was first asked."""
    return ModelStatistics(model_stats=[_statistics(request, models.find(request))])


async def config(request: Request) -> ModelConfig:
    """What Triton's tools ask before they send load: shapes without the axis of rows, and the most rows a request."""
    model = models.find(request)
    settings = services(request).settings
    rows = 0 if model.contract is None else settings.max_rows
    return ModelConfig(
        name=model.name,
        platform=PLATFORM,
        max_batch_size=rows,
        input=[_describe(port, batched=rows > 0) for port in model.signature.inputs],
        output=[_describe(port, batched=rows > 0) for port in model.signature.outputs],
        dynamic_batching=None
        if model.contract is None
        else {"max_queue_delay_microseconds": round(1000 * settings.max_delay_ms)},
    )


async def _read(request: Request, kind: type[_T]) -> _T:
    """Reads the JSON of a request, whose body may be empty."""
    settings = services(request).settings
    headers = dict(request.scope["headers"])
    body = await read_body(request.receive, headers, settings.max_body_bytes, held(request))
    if not body:  # tritonclient sends none for the index
        return kind()
    if len(body) > _LONGEST_BODY:
        raise InvalidInput(f"expected at most {_LONGEST_BODY} bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        message, field = place(error)
        raise InvalidInput(message, field or None) from None
    except NOT_JSON as error:
        raise malformed(body, error) from None


def _describe(port: Port, *, batched: bool) -> Any:
    kind = _TYPES.get(port.dtype, f"TYPE_{port.dtype.upper()}")
    return {"name": port.name, "data_type": kind, "dims": tensors.shape_of(port)[1 if batched else 0 :]}


def _state(version: VersionStatus) -> Literal["READY", "UNAVAILABLE"]:
    return "READY" if version.state == "available" else "UNAVAILABLE"


def _reason(version: VersionStatus) -> str | None:
    if version.reason is not None or _state(version) == "READY":
        return version.reason
    return version.state


def _statistics(request: Request, model: AvailableModel) -> Any:
    telemetry = services(request).telemetry
    counted = telemetry.series(model.name, model.version, model.contract).statistics
    batches = [
        {"batch_size": rows, "compute_infer": _duration(batch)} for rows, batch in sorted(counted.batches.items())
    ]
    return {
        "name": model.name,
        "version": str(model.version),
        "last_inference": 0 if counted.last is None else int(1000 * counted.last),
        "inference_count": counted.rows,
        "execution_count": counted.runs,
        "inference_stats": {
            "success": _duration(counted.success),
            "fail": _duration(counted.fail),
            "queue": _duration(counted.queue),
            "compute_input": _duration(counted.compute_input),
            "compute_infer": _duration(counted.compute_infer),
            "compute_output": _duration(counted.compute_output),
            "cache_hit": _duration(Duration()),
            "cache_miss": _duration(Duration()),
        },
        "batch_stats": batches,
        "memory_usage": [],
    }


def _duration(found: Duration) -> dict[str, int]:
    return {"count": found.count, "ns": round(1e9 * found.seconds)}


for _path, _suffix, _parameters in PATHS:
    router.add_api_route(
        f"/models/{{name}}{_path}/stats",
        statistics,
        operation_id=f"v2_model{_suffix}_statistics",
        summary="What a model has done",
        responses=errors(*NO_MODEL),
        openapi_extra={"parameters": _parameters},
    )
    router.add_api_route(
        f"/models/{{name}}{_path}/config",
        config,
        operation_id=f"v2_model{_suffix}_config",
        summary="Configuration of a model",
        response_model_exclude_none=True,
        responses=errors(*NO_MODEL),
        openapi_extra={"parameters": _parameters},
    )
