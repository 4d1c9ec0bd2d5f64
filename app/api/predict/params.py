"""JSON for /predict: from the bytes of a request to what it wants and an array that the model takes.

Parsing is done in C (msgspec, simdjson), checks with NumPy; Python walks through numbers only to
tell where an error is.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from app.api import json_arrays
from app.api.json_errors import NOT_JSON, malformed, place
from app.api.request_ids import MAX_ID_LENGTH
from app.contract.repository import HIGHEST_VERSION, NAME_PATTERN
from app.contract.schema import Contract
from app.contract.tensor import Tensor
from app.errors import InvalidInput

_LONGEST_POLICY = 1000
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
            "label, index and confidence. Default: all but `logits`"
        ),
    ] = None
    policy: Annotated[
        Annotated[str, Meta(max_length=_LONGEST_POLICY)] | None,
        Meta(
            description="Rules, separated by commas, of which the first that applies decides, such as "
            "`reject energy>p99, defer confidence<0.6`; pNN is a percentile on the calibration rows, cNN and rNN are "
            "the contract's thresholds that promise a coverage or a risk of NN %. They make `decision` stricter, never "
            "laxer, than the policy of model or operator",
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
    id: Annotated[
        Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | None, Meta(description="Comes back in the answer as it is")
    ] = None


class PredictRequest(PredictParams, kw_only=True):
    """Rows to predict, and what to answer about them."""

    # unread: their shape depends on the model
    inputs: Annotated[
        msgspec.Raw,
        Meta(
            description="Numbers nested as [B, …], B rows in the model's natural units; "
            "`GET /models/{name}` tells shape and range",
            extra_json_schema={"type": "array", "items": {}, "minItems": 1},
        ),
    ]


_LARGEST = float(np.finfo(np.float32).max)

_call = msgspec.json.Decoder(PredictRequest)
_rows = msgspec.json.Decoder(list[msgspec.Raw])


def read_call(body: bytes) -> PredictRequest:
    """The envelope of a request.

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
    """What a request wants whose body has no place to say so; `outputs` separated by commas.

    Raises:
        InvalidInput: a field is unknown or of the wrong type.
    """
    given: dict[str, Any] = dict(fields)
    if "outputs" in given:
        given["outputs"] = given["outputs"].split(",")
    try:
        return msgspec.convert(given, PredictParams, strict=False)
    except msgspec.ValidationError as error:
        message, field = place(error)
        raise InvalidInput(message, field) from None


def read_inputs(raw: msgspec.Raw, contract: Contract, most: int) -> NDArray[Any]:
    """The rows of a request as an array [B, …] of the dtype that the contract declares.

    Raises:
        InvalidInput: not numbers, another rank or shape, no rows or more than `most`, not finite, or outside the
            declared range; the field names the first place where that is so.
    """
    given = contract.inputs[0]
    text = json_arrays.readable(raw)
    array = _read_numbers(text, given, most)
    if array is not None:
        return array
    if json_arrays.is_far_more(text, most * (len(_form(given).row) + 1)):
        expected = f"expected numbers nested as {spell(given)} with 1 to {most} rows (MASKSEMBLES_MAX_ROWS)"
        raise InvalidInput(f"{expected}, got more than that", "inputs")
    return _read_nested(raw, contract, most)


def _read_numbers(text: bytes | memoryview, given: Tensor, most: int) -> NDArray[Any] | None:
    """The rows, when everything is as it should be; None when somebody has to find out what is not."""
    form = _form(given)
    brackets = json_arrays.brackets_of(text)
    rows = (len(brackets) - 1) // (len(form.row) + 1)
    if not 1 <= rows <= most or brackets != b"[" + b",".join([form.row] * rows) + b"]":
        return None
    values = json_arrays.read(text, form.kind)
    if values is None or len(values) != rows * form.size or values.min() < form.low or values.max() > form.high:
        return None
    return values.astype(given.dtype).reshape(rows, *form.shape)


def _read_nested(raw: msgspec.Raw, contract: Contract, most: int) -> NDArray[Any]:
    """The same as read_inputs, by a way that can tell what is wrong and where."""
    given = contract.inputs[0]
    sizes = contract.sizes(given)
    expected = f"expected {'whole numbers' if given.dtype == 'uint8' else 'numbers'} nested as {spell(given)}"
    try:
        rows = len(_rows.decode(raw))  # cheap, and keeps too many of them from being read
        nested = _nested(given.dtype, len(sizes)).decode(raw) if rows <= most else []
    except msgspec.ValidationError as error:
        message, where = place(error)
        raise InvalidInput(f"{expected}: {message}", f"inputs{where}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"{expected}: {error}", "inputs") from None
    if not 1 <= rows <= most:
        raise InvalidInput(f"{expected} with 1 to {most} rows (MASKSEMBLES_MAX_ROWS), got {rows}", "inputs")
    try:
        values = np.asarray(nested, dtype=np.float64)
    except ValueError:  # ragged
        values = np.empty(())
    if values.shape[1:] != sizes[1:]:
        where, problem = json_arrays.misshapen(nested, sizes) or ("", "the rows differ in shape")
        raise InvalidInput(f"{expected}: {problem}", f"inputs{where}")
    return json_arrays.check(values, given, "inputs")


@dataclass(frozen=True)
class _Form:
    """What a row of an input looks like as JSON."""

    row: bytes
    """Its brackets and commas."""
    shape: tuple[int, ...]
    size: int
    kind: json_arrays.Kind
    low: float
    high: float


@cache
def _form(given: Tensor) -> _Form:
    shape = tuple(size for size in given.shape[1:] if isinstance(size, int))
    low, high = (0, 255) if given.dtype == "uint8" else (-_LARGEST, _LARGEST)
    if given.range is not None:
        low, high = max(low, given.range[0]), min(high, given.range[1])
    kind: json_arrays.Kind = "i" if given.dtype == "uint8" else "d"
    return _Form(json_arrays.brackets(shape), shape, math.prod(shape), kind, low, high)


@cache
def _nested(dtype: str, rank: int) -> msgspec.json.Decoder[list[Any]]:
    kind: Any = Annotated[int, Meta(ge=0, le=255)] if dtype == "uint8" else float
    for _ in range(rank):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def spell(tensor: Tensor) -> str:
    """A declared shape as people read it."""
    return "[" + ", ".join(str(size) for size in tensor.shape) + "]"
