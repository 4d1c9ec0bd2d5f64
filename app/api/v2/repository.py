"""The extensions around inference: the model repository, statistics, and configuration."""

from typing import TypeVar

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.api.body import read_body
from app.api.json_errors import NOT_JSON, malformed, place
from app.api.memory import held
from app.api.models import administered
from app.api.services import services
from app.api.v2 import models, reports
from app.api.v2.openapi import BAD_BODY, INDEX_REQUEST, LOAD_REQUEST, NAME, NO_MODEL, PATHS, UNLOAD_REQUEST, errors
from app.api.v2.repository_request import ControlRequest, IndexRequest
from app.api.v2.schemas import IndexEntry, ModelConfig, ModelStatistics
from app.errors import AdminDisabled, InvalidInput, UnknownModel, VersionRejected

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_LONGEST_BODY = 2**16  # decoded in the event loop

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
    return reports.index(services(request).registry, only_ready=selection.ready)


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
    return reports.statistics(services(request))


async def statistics(request: Request) -> ModelStatistics:
    """Counts and nanoseconds since it was first asked."""
    return reports.statistics(services(request), models.find(request))


async def config(request: Request) -> ModelConfig:
    """What Triton's tools ask before they send load: shapes without the axis of rows, and the most rows a request."""
    return reports.config(services(request).settings, models.find(request))


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
