"""What the OpenAPI document says beyond the routes' signatures: texts, examples, errors, the request's schema."""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.predict import content_types, response
from app.api.predict.params import LONGEST_POLICY
from app.api.schemas import ClassificationAnswer, ErrorBody, PredictRequest, RegressionAnswer
from app.api.v2.schemas import ControlRequest, IndexRequest, InferRequest
from app.auth.guard import needed
from app.contract import calibration
from app.contract import schema as contract
from app.contract.policy import Policy, Rule
from app.contract.repository import HIGHEST_VERSION, NAME_PATTERN
from app.contract.tasks.classification import ClassificationEvaluation
from app.contract.tasks.regression import RegressionEvaluation
from app.contract.tensor import Tensor

TITLE = "Masksembles service"
VERSION = "0.1.0"
DESCRIPTION = """\
Predictions that say how sure they are. Every model is a set of N submodels in one network (Masksembles, Durasov et
al., CVPR 2021); a request's rows go through all of them at once, and the answer holds what each of them says, their
mean, and two measures of doubt, in nats: `entropy`, the whole uncertainty, and `mutual_information`, the part of it
that is the model's own ignorance. A policy makes a decision of them: accept the answer, defer it, or reject it.
"""

_CONTRACT = (
    contract.Contract,
    Tensor,
    contract.Target,
    contract.Masks,
    contract.MaskedLayer,
    calibration.Calibration,
    calibration.Threshold,
    calibration.PredictionSet,
    calibration.Interval,
    Policy,
    Rule,
    contract.Compilation,
    ClassificationEvaluation,
    RegressionEvaluation,
    contract.Origin,
)
_READ_BY_HAND = (PredictRequest, InferRequest, IndexRequest, ControlRequest)
_EXAMPLES = Path(__file__).parent / "examples"
EXAMPLE_REQUEST = json.loads((_EXAMPLES / "request.json").read_text())
EXAMPLE_ANSWER = json.loads((_EXAMPLES / "answer.json").read_text())
_ANSWERS = {**json.loads((_EXAMPLES / "answers.json").read_text()), "predict": EXAMPLE_ANSWER}
"""By operation id, what the service answered with the shipped models; some long parts left out."""

_ERRORS = {
    404: (
        "No such model or version",
        "unknown_model",
        "no model 'cats' is served; there are: digits",
        "model",
    ),
    408: ("The body did not come to its end in time", "request_timeout", "the body did not come within …", None),
    431: ("Request line and headers are over the limit", "headers_too_large", "the head of a request may have …", None),
    413: (
        "The body is over the limit",
        "body_too_large",
        "the body is larger than the 16777216 bytes …",
        None,
    ),
    415: ("A content type or encoding that is not read here", "unsupported_media_type", "expected …", None),
    401: ("No API key, or one that is not known", "unauthorized", "the API key is not known here", None),
    403: ("The key is not for this, or it is switched off", "insufficient_scope", "the key 'ci' does not have …", None),
    429: (
        "Too many requests a second for this key; `Retry-After` says how many seconds to wait",
        "rate_limited",
        "more than 10 requests a second (MASKSEMBLES_RATE_LIMIT)",
        None,
    ),
    409: ("No version fit to be served", "version_rejected", "no version of 'digits' is fit to be served …", "name"),
    422: ("Not what was expected", "invalid_input", "expected values in [0, 1] …", "inputs[0][0][2][3]"),
    500: ("The model or the service failed", "output_not_finite", "digits:1 gave NaN or infinity …", None),
    503: (
        "Not now: too many rows wait (`Retry-After` says how many seconds to), or the service stops or lost its device",
        "queue_full",
        "1024 rows wait already …",
        None,
    ),
    504: ("No device was free in time", "deadline_exceeded", "no device was free for these rows within 100 ms", None),
}

TIMEOUT_HEADER = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "How long the rows may wait for a device, in milliseconds; at most, and by default, what the "
    "setting MASKSEMBLES_QUEUE_TIMEOUT_MS says",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


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
_FORM = {
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


PREDICT_REQUEST: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/PredictRequest"},
            "example": EXAMPLE_REQUEST,
        },
        **{kind: _file("One picture, for a model that takes pictures") for kind in content_types.PICTURES},
        content_types.FORM: {"schema": {"$ref": "#/components/schemas/PredictForm"}},
        # last: a generator that knows one kind of file sends it as the last type that is one
        content_types.NPY: _file("An array [B, …] as `numpy.save` writes it"),
    },
}
PREDICT_RESPONSE: dict[str, Any] = {
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

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key; needless where the service has none"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same in another header"},
}


def error_headers(status: int) -> dict[str, Any]:
    """The headers that an answer of that status brings beside those of all."""
    named = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}.get(status)
    return {} if named is None else {named: {"$ref": f"#/components/headers/{named}"}}


_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {"description": "As in the request, or a new one", "schema": {"type": "string"}},
    "Retry-After": {"description": "In how many seconds to try again; not always there", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}},
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail in these ways."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 431}):
        description, code, message, field = _ERRORS[status]
        error = {
            "code": code,
            "message": message,
            "field": field,
            "request_id": "8f14e45fceea4672a5b2f9a1c0d3e7b6",
        }
        example = {"error": {name: value for name, value in error.items() if value is not None}}
        described[status] = {
            "model": ErrorBody,
            "description": description,
            "headers": error_headers(status),
            "content": {"application/json": {"example": example}},
        }
    return described


def _open(schema: dict[str, Any]) -> None:
    """Leaves a part of the contract room to grow: its reader is strict, its clients must not be."""
    schema.pop("additionalProperties", None)
    for field in schema["properties"].values():
        field.pop("maxItems", None)
        field.pop("const", None)


def _without_null_defaults(part: Any) -> Any:
    """The same without `default: null`: some generators take a field with a default for one that is always there."""
    if isinstance(part, dict):
        return {
            name: _without_null_defaults(value)
            for name, value in part.items()
            if name != "default" or value is not None
        }
    return [_without_null_defaults(value) for value in part] if isinstance(part, list) else part


def install(app: FastAPI) -> None:
    """Adds to the document the schemas of the bodies that are read by hand, and who needs a key."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            for kind in _READ_BY_HAND:
                schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
                made["components"]["schemas"] |= {**schema.pop("$defs", {}), kind.__name__: schema}
            made["components"]["schemas"]["PredictForm"] = _FORM
            made["components"]["securitySchemes"] = _SECURITY
            made["components"]["headers"] = _HEADERS
            made["security"] = [{"bearer": []}, {"header": []}, {}]
            for path, operations in made["paths"].items():
                for operation in operations.values():
                    for response in operation["responses"].values():
                        marked = response.setdefault("headers", {})
                        marked["X-Request-ID"] = {"$ref": "#/components/headers/X-Request-ID"}
                    if (example := _ANSWERS.get(operation["operationId"])) is not None:
                        operation["responses"]["200"]["content"]["application/json"]["example"] = example
                    if needed(path) is None:
                        operation["security"] = []
            for part in _CONTRACT:
                _open(made["components"]["schemas"][part.__name__])
            app.openapi_schema = _without_null_defaults(made)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
