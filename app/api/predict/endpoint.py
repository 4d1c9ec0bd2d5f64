"""POST /predict: rows in, predictions with their uncertainty out."""

from asyncio import to_thread
from collections.abc import Mapping
from time import perf_counter

from fastapi import APIRouter, Request, Response

from app.api import request_headers
from app.api.body import read_body
from app.api.predict import content_types, openapi, outputs, response
from app.api.request_metrics import RequestMetrics
from app.engine.bare_model import BareModel
from app.engine.batcher import Batcher
from app.engine.registry import ModelRegistry
from app.errors import InvalidInput
from app.settings import Settings

PATH = "/predict"
router = APIRouter(tags=["predict"])

_MANY = 2**16  # bytes of outputs that take longer to write than as many take to read


@router.post(
    PATH,
    operation_id="predict",
    summary="Predict rows with a model",
    response_class=Response,
    responses=openapi.RESPONSES,
    openapi_extra={"parameters": [*openapi.QUERY, request_headers.TIMEOUT], "requestBody": openapi.REQUEST_BODY},
)
async def predict(request: Request) -> Response:
    """Each row goes through all N submodels at once.

    `entropy` says how uncertain the answer is, `mutual_information` how much of that is the model's own ignorance
    rather than ambiguity of the input; both in nats. `decision` says what to do with it, where the model or the
    operator has a policy; an answer that is deferred or rejected is a 200, too.
    """
    state = request.app.state
    store: ModelRegistry = state.registry
    batcher: Batcher = state.batcher
    settings: Settings = state.settings
    headers = dict(request.scope["headers"])
    with RequestMetrics(state.telemetry) as outcome:
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        kind = content_types.kind_of(content_type)
        seconds = seconds_to_wait(headers, settings.queue_timeout_ms)
        body = await read_body(request.receive, headers, settings.max_body_bytes)
        heavy = content_types.is_heavy(kind, len(body))
        given = (kind, content_type, body, request.scope["query_string"], settings.max_rows)
        asked, read = await to_thread(content_types.read, *given) if heavy else content_types.read(*given)
        model, seconds = await store.obtain(asked.model, asked.version, seconds)
        outcome.found(model)
        if isinstance(model, BareModel):
            raise InvalidInput(f"{model.name} has no contract, hence no uncertainty: /v2 alone serves it", "model")
        wanted = outputs.choose(asked, model)
        inputs = await to_thread(read, model.contract) if heavy else read(model.contract)
        outcome.read = perf_counter()
        found = await batcher.predict(model, inputs, wanted.needed, seconds, request.receive)
        outcome.ran = perf_counter()
        npz = response.wants_npz(headers.get(b"accept", b""))
        write = response.write_npz if npz else response.write_json
        answer = (asked.id, model, wanted, found, outcome.decided)
        heavy = len(inputs) * model.row_bytes > _MANY
        content = await to_thread(write, *answer) if heavy else write(*answer)
        return Response(content, media_type=response.NPZ if npz else "application/json")


def seconds_to_wait(headers: Mapping[bytes, bytes], most: int) -> float:
    """How long a request's rows may wait: what its header says, or `most` milliseconds."""
    given = headers.get(b"x-request-timeout-ms")
    if given is None:
        return most / 1000
    if not given.isdigit() or len(given) > 9 or int(given) == 0:
        raise InvalidInput("expected a whole number of milliseconds, 1 or more", "X-Request-Timeout-Ms")
    return min(int(given), most) / 1000
