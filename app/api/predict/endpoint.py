"""POST /predict: rows in, predictions with their uncertainty out."""

from fastapi import APIRouter, Request, Response

from app.api import request_headers
from app.api.http_exchange import HttpExchange
from app.api.inference import answer
from app.api.predict import openapi
from app.api.predict.protocol import PredictCall
from app.api.services import services

PATH = "/predict"
router = APIRouter(tags=["predict"])


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

    Files to try: [coat.png](docs/examples/coat.png), [coat.jpg](docs/examples/coat.jpg) and
    [coat.webp](docs/examples/coat.webp) with `model` = `fashion-mnist`; [scene.png](docs/examples/scene.png) with
    `scenes`; [digit.npy](docs/examples/digit.npy) and [digit.npz](docs/examples/digit.npz) with `digits`.
    """
    headers = dict(request.scope["headers"])
    of = services(request)
    limits = (of.settings.max_rows, of.settings.max_body_bytes)
    call = PredictCall(headers, request.scope["query_string"], limits, of.receipts)
    return await answer(HttpExchange(request, headers), call)
