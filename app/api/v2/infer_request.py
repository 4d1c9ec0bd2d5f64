"""The fields of an inference request, for the decoder and the OpenAPI document.

Large fields stay unread (`msgspec.Raw`) until the model is known.
"""

from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from app.api.request_ids import MAX_ID_LENGTH

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]  # fmt: skip

LARGEST_TIMEOUT = 2**53  # the largest whole number that every JSON reader keeps exact
"""Microseconds."""


def _maybe(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


def _parameters(name: str) -> dict[str, Any]:
    return _maybe({"$ref": f"#/components/schemas/{name}"})


_DATA = _maybe({"type": "array", "items": {}})
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 0}}
Count = Annotated[int, Meta(ge=0)]


class InputParameters(msgspec.Struct):
    """How an input comes; others are left to whoever added them."""

    binary_data_size: Annotated[Count | None, Meta(description="Its bytes after the JSON, instead of `data`")] = None


class OutputParameters(msgspec.Struct):
    """How an output is wanted; others are left to whoever added them."""

    binary_data: Annotated[bool | None, Meta(description="As bytes after the JSON")] = None
    classification: Annotated[
        Count | None, Meta(description="The so many largest values of each row, as texts `value:index:label`")
    ] = None


class InferParameters(msgspec.Struct):
    """What holds for a whole request; others are left to whoever added them."""

    binary_data_output: Annotated[bool | None, Meta(description="Outputs as bytes, unless one says otherwise")] = None
    timeout: Annotated[
        Annotated[int, Meta(ge=0, le=LARGEST_TIMEOUT)] | None,
        Meta(description="How long it may wait for a device and run on it, in microseconds; 0 for as long as any"),
    ] = None


class InferInput(msgspec.Struct):
    """An input tensor."""

    name: str
    datatype: Annotated[str, Meta(extra_json_schema={"enum": list(get_args(Datatype))})]
    shape: Annotated[msgspec.Raw, Meta(extra_json_schema=_SHAPE)]
    parameters: Annotated[
        msgspec.Raw | msgspec.UnsetType, Meta(extra_json_schema=_parameters(InputParameters.__name__))
    ] = msgspec.UNSET
    data: Annotated[
        msgspec.Raw | msgspec.UnsetType,
        Meta(description="Row-major, nested as `shape` says or flat", extra_json_schema=_DATA),
    ] = msgspec.UNSET


class InferOutput(msgspec.Struct):
    """An output that is wanted."""

    name: str
    parameters: Annotated[
        msgspec.Raw | msgspec.UnsetType, Meta(extra_json_schema=_parameters(OutputParameters.__name__))
    ] = msgspec.UNSET


class InferRequest(msgspec.Struct):
    """Tensors to run a model on."""

    inputs: list[InferInput]
    outputs: Annotated[list[InferOutput] | None, Meta(description="Default: all")] = None
    parameters: Annotated[
        msgspec.Raw | msgspec.UnsetType, Meta(extra_json_schema=_parameters(InferParameters.__name__))
    ] = msgspec.UNSET
    id: Annotated[
        Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | None, Meta(description="Comes back in the answer as it is")
    ] = None
