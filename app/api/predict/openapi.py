"""What the OpenAPI document says of /predict beyond the route's signature: query, bodies, answers, errors."""

from typing import Any

from app.api.error_responses import errors
from app.api.examples import REQUEST
from app.api.predict import content_types, response
from app.api.predict.params import LONGEST_POLICY
from app.api.schemas import ClassificationAnswer, RegressionAnswer
from app.contract.repository import HIGHEST_VERSION, NAME_PATTERN
from app.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    DeviceFailed,
    InvalidInput,
    MalformedBody,
    ModelFailed,
    OutOfMemory,
    OutputNotFinite,
    QueueFull,
    RequestTimeout,
    UnknownModel,
    UnknownVersion,
    UnsupportedMediaType,
)

_FIELDS: dict[str, dict[str, Any]] = {
    "model": {"type": "string", "pattern": f"^{NAME_PATTERN}$", "description": "Name of the model"},
    "version": {
        "type": "integer",
        "minimum": 1,
        "maximum": HIGHEST_VERSION,
        "description": "Version of the model",
    },
    "outputs": {
        "type": "string",
        "description": "Which outputs to answer, separated by commas",
        "examples": ["prediction,entropy"],
    },
    "policy": {
        "type": "string",
        "maxLength": LONGEST_POLICY,
        "description": "Rules that make the decision stricter, separated by commas",
        "examples": ["defer entropy>p95"],
    },
    "coverage": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "Which prediction set or intervals to answer",
    },
    "id": {"type": "string", "maxLength": 256, "description": "Comes back in the answer as it is"},
}
"""What JSON says in the body, for bodies that have no place for it."""
QUERY = [
    {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"{schema['description']}; only where the body is an array or a picture",
        "schema": schema,
    }
    for name, schema in _FIELDS.items()
]
FORM = {
    "title": "PredictForm",
    "description": "Pictures to predict, as files of a form.",
    "type": "object",
    "additionalProperties": False,
    "required": ["inputs"],
    "properties": {
        "inputs": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "format": "binary"},
            "description": "PNG, JPEG or WebP files, one a row",
        },
        **_FIELDS,
    },
}


def _file(description: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary", "description": description}}


REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/PredictRequest"},
            "example": REQUEST,
        },
        **{kind: _file("One picture, for a model that takes pictures") for kind in content_types.PICTURES},
        content_types.FORM: {"schema": {"$ref": "#/components/schemas/PredictForm"}},
        # last: a generator that knows one kind of file sends it as the last type that is one
        content_types.NPY: _file("An array [B, …] as `numpy.save` writes it"),
    },
}
_ANSWER: dict[str, Any] = {
    "description": "One prediction for each row, in order; `model.task` tells which of the two kinds it is",
    "model": ClassificationAnswer | RegressionAnswer,
    "content": {
        response.NPZ: _file(
            "With `Accept: application/x-npz`: the chosen outputs as arrays, as `numpy.load` reads them, and `model`, "
            "`version` and `id`; `percentiles.SCORE` [B], `prediction_set` as booleans [B, K] and "
            "`prediction_set.coverage`, `intervals` [B, C, 2, D] and `intervals.coverage` [C], `decision` as texts [B]"
        ),
    },
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: _ANSWER,
    **errors(
        InvalidInput,
        MalformedBody,
        UnknownModel,
        UnknownVersion,
        UnsupportedMediaType,
        BodyTooLarge,
        RequestTimeout,
        QueueFull,
        DeadlineExceeded,
        OutOfMemory,
        DeviceFailed,
        ModelFailed,
        OutputNotFinite,
    ),
}
