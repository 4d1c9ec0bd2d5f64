"""What the OpenAPI document says about /predict beyond the route's signature: query, bodies, responses, errors."""

from typing import Any

from app.api.error_responses import errors
from app.api.examples import REQUEST, files
from app.api.predict import content_types, response
from app.api.predict.params import PredictParams, PredictRequest
from app.api.predict.pictures import RANGE_HEADER
from app.api.predict.schemas import Answer
from app.api.predict.tasks import SELECTABLE
from app.api.struct_schemas import components, fields
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
    UnknownModel,
    UnknownVersion,
    UnsupportedMediaType,
)

_FIELDS = fields(PredictParams)
_FIELDS["outputs"] = {  # a list in the body
    "type": "string",
    "description": f"{_FIELDS['outputs']['description']}. Separated by commas",
    "examples": ["prediction,entropy"],
}
_FIELDS["model"]["examples"] = ["fashion-mnist"]
_IN_QUERY: dict[
    str, dict[str, Any]
] = {  # by the names of the bodies' examples; first what JSON and forms need: nothing
    "model": {
        "body": {"summary": "JSON and forms name it in the body"},
        "coat": {"summary": "for coat.png, coat.jpg and coat.webp", "value": "fashion-mnist"},
        "scene": {"summary": "for scene.png", "value": "scenes"},
        "digit": {"summary": "for digit.npy and digit.npz", "value": "digits"},
    },
    "outputs": {
        "body": {"summary": "all; JSON and forms name them in the body"},
        "scene": {"summary": "a map of scene.png, which can be answered as a picture", "value": "entropy"},
    },
}
_OF_HEAD = rf"^[a-z][a-z0-9_-]*\.({'|'.join(SELECTABLE)})$"


def _in_query(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    found = {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"{schema['description']}. Only where the body is an array or an image",
        "schema": schema,
    }
    if name in _IN_QUERY:  # examples of a schema, too, and Swagger UI 5.35 fails on one without a value
        without = {key: value for key, value in schema.items() if key != "examples"}
        found |= {"schema": without, "examples": _IN_QUERY[name]}
    return found


QUERY = [_in_query(name, schema) for name, schema in _FIELDS.items()]
"""Query parameters for bodies that, unlike JSON, have no place for them."""
_FILE: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM: dict[str, Any] = {
    "title": "PredictForm",
    "description": "Inputs to predict, each as a part named after it: PNG, JPEG or WebP files, one a row; or one part "
    "with all rows, an array in NumPy's format or JSON.",
    "type": "object",
    # one part each: a generator writes no code for lists
    "additionalProperties": {**_FILE, "description": "Of a model with several inputs: the one of that name"},
    "properties": {
        "inputs": {"type": "array", "minItems": 1, "items": _FILE, "description": "The only input of a model"},
        **_FIELDS,
    },
}


def request_schemas() -> dict[str, dict[str, Any]]:
    """Schema components for the bodies of the route."""
    found = components([PredictRequest])
    (listed,) = (one for one in found["PredictRequest"]["properties"]["outputs"]["anyOf"] if "items" in one)
    listed["items"] = {  # which of them a model has is checked later
        "anyOf": [{"type": "string", "enum": list(SELECTABLE)}, {"type": "string", "pattern": _OF_HEAD}]
    }
    return {**found, "PredictForm": _FORM}


def _file(description: str, **examples: dict[str, Any]) -> dict[str, Any]:
    return {"schema": {**_FILE, "description": description}, "examples": examples}


_COAT = "A coat, for `model` = `fashion-mnist`"
_SCENE = "Clothes in a picture of another size, for `model` = `scenes` and `outputs` = `entropy`"
_DIGIT = "A digit, for `model` = `digits`"
_PICTURES = {
    "image/png": {"coat": files.example("coat.png", _COAT), "scene": files.example("scene.png", _SCENE)},
    "image/jpeg": {"coat": files.example("coat.jpg", _COAT)},
    "image/webp": {"coat": files.example("coat.webp", _COAT)},
}
_COATS = {
    "summary": "Two rows, each a file",
    "value": {
        "inputs": [files.link("coat.png"), files.link("coat.webp")],
        "model": "fashion-mnist",
        "outputs": "prediction,entropy",
    },
}

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/PredictRequest"},
            "example": REQUEST,
        },
        **{
            kind: _file("One image, for a model that takes images", **_PICTURES[kind])
            for kind in content_types.PICTURES
        },
        content_types.NPZ: _file(
            "An array for each input by name, as `numpy.savez` writes them", digit=files.example("digit.npz", _DIGIT)
        ),
        content_types.FORM: {
            "schema": {"$ref": "#/components/schemas/PredictForm"},
            "examples": {"coats": _COATS},
        },
        # last: a generator that supports one file type sends every file as the last one
        content_types.NPY: _file("An array [B, …] as `numpy.save` writes it", digit=files.example("digit.npy", _DIGIT)),
    },
}
_ANSWER: dict[str, Any] = {
    "description": "One prediction for each row, in order; `model.task` tells which kind it is",
    "model": Answer,
    "headers": {
        RANGE_HEADER: {
            "description": "Of a picture of a score: what its smallest and its largest pixel stand for",
            "schema": {"type": "string", "examples": ["0.0 2.302585092994046"]},
        }
    },
    "content": {
        response.JSON: {},  # first: a generator knows one kind of answer, that which it finds first
        response.NPZ: _file(
            "With `Accept: application/x-npz`: the chosen outputs as arrays, as `numpy.load` reads them, and `model`, "
            "`version` and `id`; `percentiles.SCORE` [B], `prediction_set` as booleans [B, K, G] and "
            "`prediction_set.coverage`, `shares` [B, K], `row_scores.SCORE` [B], `intervals` [B, C, 2, D, G] and "
            "`intervals.coverage` [C], `decision` and `receipt` as texts [B]; those of one of several heads "
            "as `HEAD.NAME`",
            coat={"summary": "The outputs of a coat as arrays"},
        ),
        response.PNG: _file(
            "With `Accept: image/png`: one map of one row, `outputs` being its name. Pixels of `prediction` are the "
            "indices of classes; those of a score from 0 to 255, or 65535 with `bits` = 16, are linear between the two "
            f"values in the header `{RANGE_HEADER}`",
            scene={"summary": "The map of the entropy of scene.png"},
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
        NotReady,
        MemoryFull,
        DeadlineExceeded,
        OutOfMemory,
        DeviceFailed,
        DeviceStuck,
        ModelFailed,
        OutputNotFinite,
    ),
}
