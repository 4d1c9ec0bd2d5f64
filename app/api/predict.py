"""POST /predict: rows in, predictions with their uncertainty out."""

import asyncio
import time

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from app.api import codecs
from app.api.body import read_body
from app.api.document import EXAMPLE_ANSWER, EXAMPLE_REQUEST, TIMEOUT_HEADER, errors
from app.api.schemas import ClassificationAnswer, RegressionAnswer
from app.engine.batcher import Batcher
from app.engine.store import Store
from app.errors import ClientGone, InvalidInput, ServiceError, WrongContentType
from app.settings import Settings
from app.telemetry import Series, Telemetry

PATH = "/predict"
router = APIRouter(tags=["predict"])


@router.post(
    PATH,
    operation_id="predict",
    summary="Predict rows with a model",
    response_class=Response,
    responses={
        200: {
            "description": "One prediction for each row, in order; `model.task` tells which of the two kinds it is",
            "model": ClassificationAnswer | RegressionAnswer,
            "content": {"application/json": {"example": EXAMPLE_ANSWER}},
        },
        **errors(404, 413, 415, 422, 500, 503, 504),
    },
    openapi_extra={
        "parameters": [TIMEOUT_HEADER],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/PredictRequest"},
                    "example": EXAMPLE_REQUEST,
                }
            },
        },
    },
)
async def predict(request: Request) -> Response:
    """Each row goes through all N submodels at once.

    `entropy` says how uncertain the answer is, `mutual_information` how much of that is the model's own ignorance
    rather than ambiguity of the input; both in nats.
    """
    began = time.perf_counter()
    state = request.app.state
    store: Store = state.store
    batcher: Batcher = state.batcher
    settings: Settings = state.settings
    telemetry: Telemetry = state.telemetry
    series: Series | None = None
    outcome = "internal_error"
    try:
        headers = dict(request.scope["headers"])
        _check_content_type(headers.get(b"content-type", b""))
        seconds = _seconds_to_wait(headers.get(b"x-request-timeout-ms"), settings.timeout_ms)
        declared = headers.get(b"content-length", b"")
        call = codecs.read_call(await read_body(request.receive, declared, settings.max_body_bytes))
        model = store.find(call.model, call.version)
        series = telemetry.series(model.name, model.version, model.contract)
        inputs = codecs.read_inputs(call.inputs, model.contract, settings.max_rows)
        chosen, needed = codecs.select(call.outputs)
        found = await batcher.predict(model, inputs, needed, seconds, request.receive)
        answer = Response(codecs.write_answer(call, model, chosen, found), media_type="application/json")
        outcome = "ok"
        return answer
    except ServiceError as error:
        outcome = error.code
        raise
    except (ClientGone, ClientDisconnect):
        outcome = "client_gone"
        raise
    except asyncio.CancelledError:  # the grace time is over
        outcome = "cancelled"
        raise
    finally:
        if series is not None:
            series.answered(outcome, time.perf_counter() - began)
        else:
            telemetry.refused(outcome)


def _check_content_type(given: bytes) -> None:
    if given != b"application/json":
        content_type = given.decode("latin-1").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise WrongContentType(f"expected Content-Type: application/json, got {content_type or 'none'}")


def _seconds_to_wait(given: bytes | None, most: int) -> float:
    if given is None:
        return most / 1000
    if not given.isdigit() or len(given) > 9 or int(given) == 0:
        raise InvalidInput("expected a whole number of milliseconds, 1 or more", "X-Request-Timeout-Ms")
    return min(int(given), most) / 1000
