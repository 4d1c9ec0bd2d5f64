"""POST /predict: rows in, predictions with their uncertainty out."""

from fastapi import APIRouter, Request, Response

from app.api import codecs
from app.api.body import read_body
from app.api.document import EXAMPLE_ANSWER, EXAMPLE_REQUEST, errors
from app.api.schemas import ClassificationAnswer, RegressionAnswer
from app.engine.store import Store
from app.errors import WrongContentType
from app.settings import Settings

router = APIRouter(tags=["predict"])


@router.post(
    "/predict",
    operation_id="predict",
    summary="Predict rows with a model",
    response_class=Response,
    responses={
        200: {
            "description": "One prediction for each row, in order; `model.task` tells which of the two kinds it is",
            "model": ClassificationAnswer | RegressionAnswer,
            "content": {"application/json": {"example": EXAMPLE_ANSWER}},
        },
        **errors(404, 413, 415, 422, 500),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/PredictRequest"},
                    "example": EXAMPLE_REQUEST,
                }
            },
        }
    },
)
async def predict(request: Request) -> Response:
    """Each row goes through all N submodels at once.

    `entropy` says how uncertain the answer is, `mutual_information` how much of that is the model's own ignorance
    rather than ambiguity of the input; both in nats.
    """
    store: Store = request.app.state.store
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "application/json":
        raise WrongContentType(f"expected Content-Type: application/json, got {content_type or 'none'}")
    settings: Settings = request.app.state.settings
    call = codecs.read_call(await read_body(request, settings.max_body_bytes))
    model = store.find(call.model, call.version)
    inputs = codecs.read_inputs(call.inputs, model.contract, settings.max_rows)
    chosen, needed = codecs.select(call.outputs)
    found = await model.predict(inputs, needed)
    return Response(codecs.write_answer(call, model, chosen, found), media_type="application/json")
