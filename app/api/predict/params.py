"""What a request to /predict wants, beside its rows: from JSON, a query or a form."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.api import json_arrays
from app.api.json_errors import NOT_JSON, malformed, place
from app.api.request_ids import MAX_ID_LENGTH
from app.contract.repository import HIGHEST_VERSION, NAME_PATTERN
from app.errors import InvalidInput

_LONGEST_POLICY = 1000  # characters
_BITS = {"8": 8, "16": 16}
_NAME = Meta(pattern=rf"^(?:{NAME_PATTERN})\Z")  # $ would match before a newline, too


class PredictParams(msgspec.Struct, forbid_unknown_fields=True):
    """What a request to predict wants, in whatever form its inputs come."""

    model: Annotated[
        Annotated[str, _NAME] | None,
        Meta(description="Name of the model; without it the configured default answers"),
    ] = None
    version: Annotated[
        Annotated[int, Meta(ge=1, le=HIGHEST_VERSION)] | None,
        Meta(description="Version of the model; without it the highest valid one, or the pinned one, answers"),
    ] = None
    outputs: Annotated[
        Annotated[list[str], Meta(extra_json_schema={"minItems": 1, "uniqueItems": True})] | None,
        Meta(
            description="Which outputs to answer, of those that the kind of model has; of a classifier `prediction` is "
            "label, index and confidence, of a multilabel model the labels that are on. Default: all but `logits` "
            "and `receipt`, and but maps where the model answers for each cell. Of a model with several heads, "
            "`HEAD.OUTPUT` is that of one, and `OUTPUT` that of each that has it"
        ),
    ] = None
    policy: Annotated[
        Annotated[str, Meta(max_length=_LONGEST_POLICY)] | None,
        Meta(
            description="Rules, separated by commas, of which the first that applies decides, such as "
            "`reject energy>p99, defer confidence<0.6`; pNN is a percentile on the calibration rows, cNN and rNN are "
            "the contract's thresholds that guarantee a coverage or a risk of NN %. They make `decision` stricter than "
            "the policy of model or operator, never laxer",
            examples=["defer entropy>p95"],
        ),
    ] = None
    coverage: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(
            description="Which of the model's prediction sets to answer, by its coverage; of a regressor, which of its "
            "intervals. Default: the first set, all intervals"
        ),
    ] = None
    maps: Annotated[
        Literal["png"] | None,
        Meta(
            description="`png`: maps in JSON are PNG files in base64, each with the values of black and white. Without "
            "it they are numbers, nested as the grid is"
        ),
    ] = None
    colormap: Annotated[
        Literal["viridis"] | None,
        Meta(description="Scores in PNG are coloured, from dark blue for the least value to yellow, instead of grey"),
    ] = None
    bits: Annotated[
        Literal[8, 16] | None,
        Meta(description="Of a grey value in PNG. Default: 8", extra_json_schema={"type": "integer"}),
    ] = None
    id: Annotated[
        Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | None, Meta(description="Comes back in the answer as it is")
    ] = None


class PredictRequest(PredictParams, kw_only=True):
    """Rows to predict, and what to answer about them."""

    # unread: their shape depends on the model, which the rest of the body names
    inputs: Annotated[
        msgspec.Raw,
        Meta(
            description="Numbers nested as [B, …], B rows in the model's natural units; of a model with several "
            "inputs, an object with such an array for each by name. `GET /models/{name}` tells names and shapes",
            extra_json_schema={
                "anyOf": [
                    {"type": "array", "items": {}, "minItems": 1},
                    {"type": "object", "additionalProperties": {"type": "array", "items": {}, "minItems": 1}},
                ]
            },
        ),
    ]


_call = msgspec.json.Decoder(PredictRequest)


def read_head(body: bytes) -> PredictRequest | None:
    """Reads everything in a request but its rows, which may turn out not to be JSON; None if that is not so simple, or
    something is wrong."""
    found = json_arrays.decode_around(_call, body, b"inputs")
    if found is None or not json_arrays.is_cut(found[0].inputs):
        return None
    call, inputs = found
    call.inputs = inputs
    return call


def read_call(body: bytes) -> PredictRequest:
    """Reads everything in a request but its rows.

    Raises:
        MalformedBody: the body is not JSON.
        InvalidInput: a field is missing, unknown or of the wrong type.
    """
    try:
        call = _call.decode(body)
    except msgspec.ValidationError as error:
        message, field = place(error)
        raise InvalidInput(message, field) from None
    except NOT_JSON as error:
        raise malformed(body, error) from None
    return call


def read_query(fields: dict[str, str]) -> PredictParams:
    """Reads the parameters of a request from a query or form; `outputs` are separated by commas.

    Raises:
        InvalidInput: a field is unknown or of the wrong type.
    """
    given: dict[str, Any] = dict(fields)
    if given.get("bits") in _BITS:  # a literal is compared as it comes
        given["bits"] = _BITS[given["bits"]]
    if "outputs" in given:
        given["outputs"] = given["outputs"].split(",")
    try:
        return msgspec.convert(given, PredictParams, strict=False)  # numbers come as texts
    except msgspec.ValidationError as error:
        message, field = place(error)
        raise InvalidInput(message, field) from None
