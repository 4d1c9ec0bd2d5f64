"""What the OpenAPI document says about /v2 beyond the routes' signatures: errors, parameters, bodies, examples."""

from typing import Any

from pydantic import BaseModel

from app.api import error_responses
from app.api.examples import ANSWER, REQUEST, files
from app.api.v2.error_format import V2
from app.api.v2.infer_request import InferParameters, InferRequest, InputParameters, OutputParameters
from app.api.v2.repository_request import ControlRequest, IndexRequest
from app.api.v2.schemas import InferAnswer
from app.contract.repository import NAME_PATTERN, VERSION_PATTERN
from app.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    DeviceFailed,
    DeviceStuck,
    InvalidInput,
    MalformedBody,
    MemoryFull,
    ModelFailed,
    NotReady,
    OutOfMemory,
    OutputNotFinite,
    QueueFull,
    RequestTimeout,
    ServiceError,
    UnknownModel,
    UnknownVersion,
    UnsupportedMediaType,
)

REQUESTS = (InferRequest, InputParameters, OutputParameters, InferParameters, IndexRequest, ControlRequest)
"""Structs of the request bodies."""
NO_MODEL = (InvalidInput, UnknownModel, UnknownVersion)
"""Errors of a path that names a model."""
BAD_BODY = (InvalidInput, MalformedBody, UnsupportedMediaType, BodyTooLarge, RequestTimeout, MemoryFull)
"""Errors of a request that has a body."""


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


NAME = _in_path("name", "Name of a model in the repository", NAME_PATTERN, "digits")
NUMBER = _in_path("version", "Version of the model", VERSION_PATTERN, "3")
PATHS = (("", "", [NAME]), ("/versions/{version}", "_version", [NAME, NUMBER]))
"""A path may name a version. For each form: the path after the name, a part of the operation ids, the parameters."""
LENGTH_HEADER = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "required": False,
    "description": "Length of the JSON where bytes follow it; 0 where the body is nothing but the only input's bytes",
    "schema": {"type": "integer", "minimum": 0},
    "examples": {  # by the names of the bodies' examples; first what JSON needs: nothing
        "json": {"summary": "for JSON"},
        "bytes": {"summary": "for digit.bin", "value": 0},
        "both": {"summary": "for digit-with-json.bin", "value": 149},
    },
}

_PIXELS = [value for row in REQUEST["inputs"][0][0] for value in row]
_EXAMPLE = {
    "id": "42",
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": _PIXELS}],
    "outputs": [{"name": "entropy"}, {"name": "mutual_information"}],
}
_ROW = ANSWER["predictions"][0]
INFER_REQUEST = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/InferRequest"},
            "examples": {
                "json": {"summary": "Numbers in JSON, there and back", "value": _EXAMPLE},
                "bytes_back": {
                    "summary": "Numbers in JSON, answered as bytes",
                    "value": {**_EXAMPLE, "parameters": {"binary_data_output": True}},
                },
            },
        },
        "application/octet-stream": {
            "schema": {"type": "string", "format": "binary"},
            "examples": {
                "bytes": files.example("digit.bin", "The bytes of the only input"),
                "both": files.example("digit-with-json.bin", "JSON, and the bytes of its tensor after it"),
            },
        },
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
                "model_version": "3",
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
        "application/octet-stream": {
            "schema": {"type": "string", "format": "binary"},
            "examples": {"bytes_back": {"summary": "JSON, and the bytes of the outputs after it"}},
        },
    },
}


def _optional(name: str, example: dict[str, Any]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"required": False, "content": {"application/json": {"schema": schema, "example": example}}}


INDEX_REQUEST = _optional("IndexRequest", {"ready": True})
LOAD_REQUEST = _optional("ControlRequest", {})
UNLOAD_REQUEST = _optional("ControlRequest", {"parameters": {"unload_dependents": False}})


def errors(*kinds: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for these errors, in the protocol's format."""
    return error_responses.errors(*kinds, form=V2)


INFER_ERRORS = errors(
    *BAD_BODY,
    UnknownModel,
    UnknownVersion,
    QueueFull,
    NotReady,
    DeadlineExceeded,
    OutOfMemory,
    DeviceFailed,
    DeviceStuck,
    ModelFailed,
    OutputNotFinite,
)


def unready(model: type[BaseModel], example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The 503 of a route that answers it with its own body."""
    content = {"application/json": {"example": example}}
    return {503: {"model": model, "description": "Not now", "content": content}}
