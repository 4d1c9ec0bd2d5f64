"""Health, metadata and inference of the Open Inference Protocol v2."""

from fastapi import APIRouter, Request, Response

from app.api.health import why_not_ready
from app.api.http_exchange import HttpExchange
from app.api.inference import answer
from app.api.request_headers import TIMEOUT
from app.api.services import services
from app.api.v2 import models, reports
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
from app.api.v2.protocol import InferCall
from app.api.v2.schemas import Live, ModelMetadata, ModelReady, Ready, ServerMetadata

PATH = "/v2/models/{name}/infer"
VERSION_PATH = "/v2/models/{name}/versions/{version}/infer"

router = APIRouter(prefix="/v2", tags=["open inference protocol"])


@router.get(
    "/health/live",
    operation_id="v2_live",
    summary="Is the process alive?",
    responses=unready(Live, {"live": False}),
)
async def live(request: Request, response: Response) -> Live:
    """200 as long as the process answers and a device works; 503 when it should be restarted."""
    alive = services(request).batcher.watchdog.hopeless() is None
    response.status_code = 200 if alive else 503
    return Live(live=alive)


@router.get(
    "/health/ready",
    operation_id="v2_ready",
    summary="Can inferences be made?",
    responses=unready(Ready, {"ready": False}),
)
async def ready(request: Request, response: Response) -> Ready:
    """200 when at least one model answers; 503 while no device works, and from SIGTERM on."""
    reason = why_not_ready(services(request))
    response.status_code = 503 if reason else 200
    return Ready(ready=reason is None)


@router.get("", operation_id="v2_server", summary="Name, version and extensions of the server")
async def server() -> ServerMetadata:
    """Only extensions that exist are named."""
    return reports.SERVER


async def model_ready(request: Request, response: Response) -> ModelReady:
    """200 when the model answers; 503 when it is there and does not, while no device works, or when the service is
    stopping."""
    target = models.target(request)
    served = reports.is_ready(services(request), target)
    response.status_code = 200 if served else 503
    return ModelReady(name=models.name(request), ready=served)


async def metadata(request: Request) -> ModelMetadata:
    """Inputs and outputs with datatype and shape, −1 for the number of rows, and the versions that answer."""
    return reports.metadata(services(request), models.find(request))


async def infer(request: Request) -> Response:
    """Rows in, the outputs of the graph by name out, as JSON or as bytes after it.

    Bytes are the fast way: `binary_data_size` for inputs, `binary_data` or `binary_data_output` for outputs. Without
    `outputs` all are answered; what is not asked for is neither copied nor encoded.

    Files to try with `digits`: [digit.bin](docs/examples/digit.bin), whose header Inference-Header-Content-Length is 0,
    and [digit-with-json.bin](docs/examples/digit-with-json.bin), whose header is 149.
    """
    headers = dict(request.scope["headers"])
    max_rows = services(request).settings.max_rows
    return await answer(HttpExchange(request, headers), InferCall(headers, models.target(request), max_rows))


# two routes for each, since a path parameter cannot be optional
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
