"""What the OpenAPI document says beyond the routes' signatures: texts, examples, errors, the request's schema."""

import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.schemas import ErrorBody, PredictRequest
from app.contract import schema as contract

TITLE = "Masksembles service"
VERSION = "0.1.0"
DESCRIPTION = """\
Predictions that say how sure they are. Every model is a set of N submodels in one network (Masksembles, Durasov et
al., CVPR 2021); a request's rows go through all of them at once, and the answer holds what each of them says, their
mean, and two measures of doubt, in nats: `entropy`, the whole uncertainty, and `mutual_information`, the part of it
that is the model's own ignorance.
"""

_CONTRACT = (
    contract.Contract,
    contract.Tensor,
    contract.Masks,
    contract.MaskedLayer,
    contract.Calibration,
    contract.Compilation,
    contract.Evaluation,
    contract.Origin,
)
_EXAMPLES = Path(__file__).parent / "examples"
EXAMPLE_REQUEST = json.loads((_EXAMPLES / "request.json").read_text())
EXAMPLE_ANSWER = json.loads((_EXAMPLES / "answer.json").read_text())

_ERRORS = {
    404: (
        "No such model or version",
        "unknown_model",
        "no model 'cats' is served; there are: digits",
        "model",
    ),
    413: (
        "The body is over the limit",
        "body_too_large",
        "the body is larger than the 16777216 bytes …",
        None,
    ),
    415: ("Another content type than JSON", "unsupported_content_type", "expected Content-Type: …", None),
    403: ("Switched off", "administration_off", "MASKSEMBLES_ADMIN=true allows it", None),
    409: ("No version fit to be served", "version_refused", "no version of 'digits' is fit to be served …", "name"),
    422: ("Not what was expected", "invalid_input", "expected values in [0, 1] …", "inputs[0][0][2][3]"),
    500: ("The model or the service failed", "output_not_finite", "digits:1 gave NaN or infinity …", None),
    503: (
        "Not now: too many rows wait (`Retry-After` says how many seconds to), or the service stops or lost its device",
        "queue_full",
        "1024 rows wait already …",
        None,
    ),
    504: ("No device was free in time", "deadline_passed", "no device was free for these rows within 100 ms", None),
}

TIMEOUT_HEADER = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "How long the rows may wait for a device, in milliseconds; at most, and by default, what the "
    "setting MASKSEMBLES_TIMEOUT_MS says",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail in these ways."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
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
            "content": {"application/json": {"example": example}},
        }
    return described


def _open(schema: dict[str, Any]) -> None:
    """Leaves a part of the contract room to grow: its reader is strict, its clients must not be."""
    schema.pop("additionalProperties", None)
    for field in schema["properties"].values():
        field.pop("maxItems", None)
        field.pop("const", None)


def install(app: FastAPI) -> None:
    """Adds the schema of /predict's body, which is read by hand, to the document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schema = PredictRequest.model_json_schema(ref_template="#/components/schemas/{model}")
            made["components"]["schemas"]["PredictRequest"] = schema
            for part in _CONTRACT:
                _open(made["components"]["schemas"][part.__name__])
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
