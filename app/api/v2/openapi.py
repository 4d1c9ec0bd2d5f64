"""What the OpenAPI document says of /v2 beyond the routes' signatures: errors, parameters, bodies, examples."""

from typing import Any

from pydantic import BaseModel

from app.api.openapi import EXAMPLE_ANSWER, EXAMPLE_REQUEST, error_headers
from app.api.v2.schemas import InferAnswer, V2Error
from app.contract.repository import NAME_PATTERN, VERSION_PATTERN

_ERRORS = {
    400: ("Not what the protocol or the model expects", "inputs[0].shape: expected the shape [B, 1, 8, 8], got [8]"),
    401: ("No API key, or one that is not known", "the API key is not known here"),
    403: ("Switched off, or the key is not for this", "the key 'ci' does not have the scope admin"),
    408: ("The body did not come to its end in time", "the body did not come within 60 seconds"),
    431: ("Request line and headers are over the limit", "the head of a request may have 65536 bytes"),
    404: ("No such model or version", "no model 'cats' is served; there are: digits"),
    409: ("No version fit to be served", "no version of 'digits' is fit to be served"),
    413: ("The body is over the limit", "the body is larger than the 16777216 bytes that are accepted"),
    415: ("Another content encoding than gzip or deflate", "expected Content-Encoding: gzip or deflate, got br"),
    429: ("Too many requests a second; `Retry-After` says how many seconds to wait", "more than 10 requests a second"),
    500: ("The model or the service failed", "digits:1 failed on these rows"),
    503: ("Not now: too many rows wait, or the service stops or lost its device", "1024 rows wait already"),
    504: ("No device was free in time", "no device was free for these rows within 100 ms"),
}


def _in_path(name: str, description: str, pattern: str, example: str) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
        "example": example,
    }


NAME = _in_path("name", "Name of a model in the store", NAME_PATTERN, "digits")
NUMBER = _in_path("version", "Version of the model", VERSION_PATTERN, "2")
PATHS = (("", "", [NAME]), ("/versions/{version}", "_version", [NAME, NUMBER]))
"""What is asked of a model may name a version: for each form its path after the name, a part of its operation ids, and
its parameters."""
LENGTH_HEADER = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "description": "Length of the JSON where bytes follow it; 0 where the body is nothing but the only input's bytes",
    "schema": {"type": "integer", "minimum": 0},
}

_PIXELS = [value for row in EXAMPLE_REQUEST["inputs"][0][0] for value in row]
_EXAMPLE = {
    "id": "42",
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": _PIXELS}],
    "outputs": [{"name": "entropy"}, {"name": "mutual_information"}],
}
_ROW = EXAMPLE_ANSWER["predictions"][0]
INFER_REQUEST = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}, "example": _EXAMPLE},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
INFER_RESPONSE: dict[str, Any] = {
    "headers": {
        "Inference-Header-Content-Length": {
            "description": "Length of the JSON; only where bytes follow it",
            "schema": {"type": "integer"},
        }
    },
    "description": "The outputs; where some are wanted as bytes, they follow the JSON, whose length the header "
    "Inference-Header-Content-Length tells",
    "model": InferAnswer,
    "content": {
        "application/json": {
            "example": {
                "id": "42",
                "model_name": "digits",
                "model_version": "2",
                "outputs": [
                    {"name": "entropy", "datatype": "FP32", "shape": [1], "data": [_ROW["entropy"]]},
                    {
                        "name": "mutual_information",
                        "datatype": "FP32",
                        "shape": [1],
                        "data": [_ROW["mutual_information"]],
                    },
                ],
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}


def _optional(name: str, example: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"required": False, "content": {"application/json": {"schema": schema, "example": example}}}


INDEX_REQUEST = _optional("IndexRequest", {"ready": True})
LOAD_REQUEST = _optional("ControlRequest", {})
UNLOAD_REQUEST = _optional("ControlRequest", {"parameters": {"unload_dependents": False}})


def errors(*statuses: int, open_to_all: bool = False) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that can fail in these ways, and in those of every route that needs a key."""
    return {
        status: {
            "model": V2Error,
            "description": _ERRORS[status][0],
            "headers": error_headers(status),
            "content": {"application/json": {"example": {"error": _ERRORS[status][1]}}},
        }
        for status in sorted({*statuses, *(() if open_to_all else (401, 403, 429)), 431})
    }


def unready(model: type[BaseModel], example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The answer of a route that says no with its own body."""
    content = {"application/json": {"example": example}}
    return {503: {"model": model, "description": "Not now", "content": content}}
