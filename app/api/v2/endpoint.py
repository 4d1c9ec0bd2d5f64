"""Health, metadata and inference of the Open Inference Protocol v2."""

from asyncio import to_thread
from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request, Response

from app import __version__
from app.api.body import LARGE, LARGE_BINARY, accepted_encoding, compress, read_body
from app.api.health import why_not_ready
from app.api.predict.endpoint import seconds_to_wait
from app.api.request_headers import TIMEOUT
from app.api.request_metrics import RequestMetrics
from app.api.v2 import models, tensors
from app.api.v2 import request as requests
from app.api.v2 import response as answers
from app.api.v2.openapi import (
    INFER_ERRORS,
    INFER_REQUEST,
    INFER_RESPONSE,
    LENGTH_HEADER,
    NO_MODEL,
    PATHS,
    errors,
    unready,
)
from app.api.v2.schemas import Live, ModelMetadata, ModelReady, Ready, ServerMetadata
from app.contract.signature import Port
from app.engine.batcher import Batcher
from app.engine.model_versions import ModelVersions
from app.engine.registry import ModelRegistry
from app.errors import UnknownModel, UnknownVersion
from app.settings import Settings

EXTENSIONS = ("binary_tensor_data", "classification", "model_repository", "statistics", "model_configuration")
PATH = "/v2/models/{name}/infer"
VERSION_PATH = "/v2/models/{name}/versions/{version}/infer"
PLATFORM = "onnxruntime_onnx"

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

_SMALL = 1024  # bytes that are not worth compressing


@router.get(
    "/health/live",
    operation_id="v2_live",
    summary="Is the process alive?",
)
async def live() -> Live:
    """200 as long as the process answers at all."""
    return Live(live=True)


@router.get(
    "/health/ready",
    operation_id="v2_ready",
    summary="Can inferences be made?",
    responses=unready(Ready, {"ready": False}),
)
async def ready(request: Request, response: Response) -> Ready:
    """200 when at least one model answers; 503 from SIGTERM on."""
    state = request.app.state
    reason = why_not_ready(state.registry, state.batcher, stopping=state.stopping)
    response.status_code = 503 if reason else 200
    return Ready(ready=reason is None)


@router.get("", operation_id="v2_server", summary="Name, version and extensions of the server")
async def server() -> ServerMetadata:
    """Only extensions that exist are named."""
    return ServerMetadata(name="masksembles", version=__version__, extensions=list(EXTENSIONS))


async def model_ready(request: Request, response: Response) -> ModelReady:
    """200 when the model answers; 503 when it is there and does not, or when the service is stopping."""
    state = request.app.state
    store: ModelRegistry = state.registry
    name = models.name(request)
    try:
        models.find(request)
        served = True
    except (UnknownModel, UnknownVersion):
        if not _is_there(store, name, request.path_params.get("version")):
            raise
        served = False
    if state.stopping or state.batcher.failed is not None:
        served = False
    response.status_code = 200 if served else 503
    return ModelReady(name=name, ready=served)


def _is_there(store: ModelRegistry, name: str, version: str | None) -> bool:
    shelf = store.models.get(name)
    return shelf is not None and (version is None or version in [str(found.number) for found in shelf.versions])


async def metadata(request: Request) -> ModelMetadata:
    """Inputs and outputs with datatype and shape, −1 for the number of rows, and the versions that answer."""
    model = models.find(request)
    shelf = request.app.state.registry.models.get(model.name, ModelVersions())  # it may just have gone
    loaded = {other.version for other in (model, *shelf.available)}
    return ModelMetadata(
        name=model.name,
        versions=[str(version) for version in sorted(loaded)],
        platform=PLATFORM,
        inputs=[_describe(port) for port in model.signature.inputs],
        outputs=[_describe(port) for port in model.signature.outputs],
    )


def _describe(port: Port) -> Any:
    return {"name": port.name, "datatype": tensors.DATATYPES[port.dtype], "shape": tensors.shape_of(port)}


async def infer(request: Request) -> Response:
    """Rows in, the outputs of the graph by name out, as JSON or as bytes after it.

    Bytes are the fast way: `binary_data_size` for inputs, `binary_data` or `binary_data_output` for outputs. Without
    `outputs` all are answered; what is not asked for is neither copied nor encoded.
    """
    state = request.app.state
    batcher: Batcher = state.batcher
    settings: Settings = state.settings
    headers = dict(request.scope["headers"])
    with RequestMetrics(state.telemetry) as outcome:
        seconds = seconds_to_wait(headers, settings.queue_timeout_ms)
        model, seconds = await models.obtain(request, seconds)
        outcome.found(model)
        body = await read_body(request.receive, headers, settings.max_body_bytes)
        head = headers.get(b"inference-header-content-length")
        text = len(body) if head is None else int(head[:18]) if head.isdigit() else 0
        texts = any(port.dtype == "str" for port in model.signature.inputs)
        heavy = text > LARGE or len(body) > (LARGE if texts else LARGE_BINARY)
        parts = (body, head, model.signature)
        asked = await to_thread(requests.read, *parts) if heavy else requests.read(*parts)
        if asked.seconds is not None:
            seconds = min(seconds, asked.seconds)
        wanted = (asked, model, settings.max_rows)
        given = await to_thread(requests.arrays, *wanted) if heavy else requests.arrays(*wanted)
        inputs: Any = [given] if model.contract is None else given[model.signature.inputs[0].name]
        outcome.read = perf_counter()
        needed = tuple(output.name for output in asked.outputs)
        del given
        found = await batcher.predict(model, inputs, needed, seconds, request.receive)
        outcome.ran = perf_counter()
        heavy = answers.size(asked, found) > LARGE
        answer = (asked, model, found)
        content, length = await to_thread(answers.write, *answer) if heavy else answers.write(*answer)
        response = Response(content, media_type="application/json" if length is None else "application/octet-stream")
        if length is not None:
            response.headers["Inference-Header-Content-Length"] = str(length)
        encoding = accepted_encoding(headers.get(b"accept-encoding", b"")) if len(content) >= _SMALL else None
        if encoding is not None:
            large = len(content) > LARGE
            response.body = await to_thread(compress, content, encoding) if large else compress(content, encoding)
            response.headers["Content-Length"] = str(len(response.body))
            response.headers["Content-Encoding"] = encoding.decode()
        response.headers["Vary"] = "Accept-Encoding"
        return response


for _path, _suffix, _parameters in PATHS:
    router.add_api_route(
        f"/models/{{name}}{_path}/ready",
        model_ready,
        operation_id=f"v2_model{_suffix}_ready",
        summary="Does the model answer?",
        responses={**unready(ModelReady, {"name": "digits", "ready": False}), **errors(*NO_MODEL)},
        openapi_extra={"parameters": _parameters},
    )
    router.add_api_route(
        f"/models/{{name}}{_path}",
        metadata,
        operation_id=f"v2_model{_suffix}",
        summary="Inputs and outputs of a model",
        responses=errors(*NO_MODEL),
        openapi_extra={"parameters": _parameters},
    )
    router.add_api_route(
        f"/models/{{name}}{_path}/infer",
        infer,
        methods=["POST"],
        operation_id=f"v2_infer{_suffix}",
        summary="Run a model",
        response_class=Response,
        responses={200: INFER_RESPONSE, **INFER_ERRORS},
        openapi_extra={"parameters": [*_parameters, LENGTH_HEADER, TIMEOUT], "requestBody": INFER_REQUEST},
    )
