"""JSON for /predict: turns the bytes of a request into its parameters and an array for the model.

C code parses (msgspec, simdjson) and NumPy checks; Python walks through the numbers only to say where an error is.
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

_LONGEST_POLICY = 1000  # characters
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
            "label, index and confidence, of a multilabel model the labels that are on. Default: all but `logits`"
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
    id: Annotated[
        Annotated[str, Meta(max_length=MAX_ID_LENGTH)] | None, Meta(description="Comes back in the answer as it is")
    ] = None


class PredictRequest(PredictParams, kw_only=True):
    """Rows to predict, and what to answer about them."""

    # unread: their shape depends on the model, which the rest of the body names
    inputs: Annotated[
        msgspec.Raw,
        Meta(
            description="Numbers nested as [B, …], B rows in the model's natural units; "
            "`GET /models/{name}` tells shape and range",
            extra_json_schema={"type": "array", "items": {}, "minItems": 1},
        ),
    ]


_call = msgspec.json.Decoder(PredictRequest)
_rows = msgspec.json.Decoder(list[msgspec.Raw])


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
    if "outputs" in given:
        given["outputs"] = given["outputs"].split(",")
    try:
        return msgspec.convert(given, PredictParams, strict=False)  # numbers come as texts
    except msgspec.ValidationError as error:
        message, field = place(error)
        raise InvalidInput(message, field) from None


def read_inputs(raw: msgspec.Raw, contract: Contract, most: int) -> NDArray[Any]:
    """Reads the rows of a request into an array [B, …] of the declared dtype.

    Raises:
        InvalidInput: the values are not numbers or not finite, lie outside the declared range, or have another shape;
            or there are no rows or more than `most`. The field names the first such place.
    """
    given = contract.inputs[0]
    text = json_arrays.readable(raw)
    brackets = json_arrays.brackets_of(text)
    form = _form(given) if not contract.axes else _free_form(brackets, contract)
    array = _read_numbers(text, brackets, given, form, most)
    if array is not None:
        return array
    # before any list is built: small texts can become huge lists
    if json_arrays.is_far_more(brackets, most * (len(form.row) + 1)):
        expected = f"expected numbers nested as {spell(given)} with 1 to {most} rows (MASKSEMBLES_MAX_ROWS)"
        raise InvalidInput(f"{expected}, got more than that", "inputs")
    return _read_nested(raw, given, form, most)


def _free_form(brackets: bytes, contract: Contract) -> "_Form":
    """The form of the first row, which all rows of a request must have."""
    given = contract.inputs[0]
    sizes = json_arrays.sizes_of(brackets, len(given.shape))
    if sizes is None:
        raise InvalidInput(f"expected numbers nested as {spell(given)}, in another depth", "inputs")
    if (misfit := contract.misfit(given, sizes[1:])) is not None:
        axis, problem = misfit
        raise InvalidInput(f"expected numbers nested as {spell(given)}: {problem}", "inputs" + "[0]" * axis)
    return _form_of(given, sizes[1:])


def _read_numbers(
    text: bytes | memoryview, brackets: bytes, given: Tensor, form: "_Form", most: int
) -> NDArray[Any] | None:
    """Reads the rows if all is well; returns None if the slow way must find out what is wrong."""
    rows = (len(brackets) - 1) // (len(form.row) + 1)
    if not 1 <= rows <= most or brackets != b"[" + b",".join([form.row] * rows) + b"]":
        return None
    values = json_arrays.read_all(text, form.dtype, rows * form.size, given.range)
    if values is None:
        return None
    array = values.reshape(rows, *form.shape)
    return None if given.channel_ranges is not None and given.outside(array).any() else array


def _read_nested(raw: msgspec.Raw, given: Tensor, form: "_Form", most: int) -> NDArray[Any]:
    """Does the same as read_inputs in a slower way that can say what is wrong and where."""
    sizes = (None, *form.shape)
    expected = f"expected {'whole numbers' if given.dtype == 'uint8' else 'numbers'} nested as {spell(given)}"
    try:
        rows = len(_rows.decode(raw))  # cheap: too many rows are refused before they are parsed
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
        if form.shape != given.shape[1:]:
            problem += f"; the rows of a request have one size, the first is {list(form.shape)}"
        raise InvalidInput(f"{expected}: {problem}", f"inputs{where}")
    return json_arrays.check(values, given, "inputs")


@dataclass(frozen=True)
class _Form:
    """The JSON form of one row of an input."""

    row: bytes
    """Its brackets and commas."""
    shape: tuple[int, ...]
    size: int
    dtype: np.dtype[Any]


@cache
def _form(given: Tensor) -> _Form:
    """The form of an input of a fixed size."""
    return _form_of(given, tuple(size for size in given.shape[1:] if isinstance(size, int)))


def _form_of(given: Tensor, shape: tuple[int, ...]) -> _Form:
    return _Form(json_arrays.brackets(shape), shape, math.prod(shape), np.dtype(given.dtype))


@cache
def _nested(dtype: str, rank: int) -> msgspec.json.Decoder[list[Any]]:
    kind: Any = Annotated[int, Meta(ge=0, le=255)] if dtype == "uint8" else float
    for _ in range(rank):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def spell(tensor: Tensor) -> str:
    """A declared shape as text."""
    return "[" + ", ".join(str(size) for size in tensor.shape) + "]"
