"""The rows of a JSON request as arrays for the model.

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
from app.api.json_errors import place
from app.api.predict.input_rows import InputRows
from app.contract.tensor import WHOLE, Tensor
from app.errors import InvalidInput

_rows = msgspec.json.Decoder(list[msgspec.Raw])
_by_name = msgspec.json.Decoder(dict[str, msgspec.Raw])

_SETTING = "(MASKSEMBLES_MAX_ROWS)"
_OTHERS = bytes(set(range(256)) - set(b"[],"))
_OBJECT = ord("{")
_MOST_COLONS = 1000  # in an object of arrays: one after each name, and in names
_SPARE = 5  # letters of false, the longest value that is no number
_ELEMENTS: dict[str, Any] = {
    "uint8": Annotated[int, Meta(ge=0, le=255)],
    "int32": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "int64": Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    "bool": bool | Annotated[int, Meta(ge=0, le=1)],
}
_EXACT = {"int64": np.int64}  # float64 would round what is beyond 2^53


def read(raw: msgspec.Raw, rows: InputRows) -> None:
    """Reads the inputs of a request: an array, or an object with one by name.

    Raises:
        InvalidInput: an input is unknown or missing; the values are not numbers or not finite, lie outside the declared
            range, or have another shape; or there are no rows or more than allowed. The field names the first place.
    """
    if memoryview(raw)[0] != _OBJECT:
        rows.add(None, lambda given, field: read_array(raw, given, rows, field))
        return
    text = bytes(memoryview(raw))
    if text.count(b":") > _MOST_COLONS:  # before any is read: each becomes objects of a hundred bytes
        raise InvalidInput("expected an object with an array for each input, got far more", "inputs")
    try:
        parts = _by_name.decode(text)
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"expected an object with an array for each input: {error}", "inputs") from None
    for name, part in parts.items():
        rows.add(name, lambda given, field, part=part: read_array(part, given, rows, field))  # type: ignore[misc]


def read_array(raw: msgspec.Raw | bytes, given: Tensor, rows: InputRows, field: str) -> NDArray[Any]:
    """Reads one input [B, …] of the declared dtype.

    Raises:
        InvalidInput: see `read`.
    """
    text = json_arrays.readable(raw)
    brackets = json_arrays.brackets_of(text)
    form = _form(given) if not rows.contract.axes else _free_form(brackets, given, rows, field)
    array = _read_numbers(text, brackets, given, form, rows.most)
    if array is not None:
        return array
    # before any list is built: small texts can become huge lists
    letters = _SPARE * form.size if given.dtype == "bool" else 0
    if json_arrays.is_far_more(brackets, rows.most * (len(form.row) + letters + 1)):
        expected = f"expected {_values(given)} nested as {spell(given)} with 1 to {rows.most} rows {_SETTING}"
        raise InvalidInput(f"{expected}, got more than that", field)
    return _read_nested(raw, given, form, rows.most, field)


def _free_form(brackets: bytes, given: Tensor, rows: InputRows, field: str) -> "_Form":
    """The form of the first row, which all rows of a request must have."""
    expected = f"expected {_values(given)} nested as {spell(given)}"
    sizes = json_arrays.sizes_of(brackets.translate(None, _OTHERS), len(given.shape))
    if sizes is None:
        raise InvalidInput(f"{expected}, in another depth", field)
    if (misfit := rows.misfit(given, sizes[1:])) is not None:
        axis, problem = misfit
        raise InvalidInput(f"{expected}: {problem}", field + "[0]" * axis)
    return _form_of(given, sizes[1:])


def _read_numbers(
    text: bytes | memoryview, brackets: bytes, given: Tensor, form: "_Form", most: int
) -> NDArray[Any] | None:
    """Reads the rows if all is well; returns None if the slow way must find out what is wrong."""
    rows = (len(brackets) - 1) // (len(form.row) + 1)
    if not 1 <= rows <= most or brackets != b"[" + b",".join([form.row] * rows) + b"]":
        return None
    marks = given.dtype == "bool"
    kind = np.dtype(np.uint8) if marks else form.dtype  # true and false are left to the slow way
    values = json_arrays.read_all(text, kind, rows * form.size, given.limits)
    if values is None:
        return None
    array = (values.astype(bool) if marks else values).reshape(rows, *form.shape)
    return None if given.channel_ranges is not None and given.outside(array).any() else array


def _read_nested(raw: msgspec.Raw | bytes, given: Tensor, form: "_Form", most: int, field: str) -> NDArray[Any]:
    """Does the same as read_array in a slower way that can say what is wrong and where."""
    sizes = (None, *form.shape)
    expected = f"expected {_values(given)} nested as {spell(given)}"
    try:
        rows = len(_rows.decode(raw))  # cheap: too many rows are refused before they are parsed
        nested = _nested(given.dtype, len(sizes)).decode(raw) if rows <= most else []
    except msgspec.ValidationError as error:
        message, where = place(error)
        raise InvalidInput(f"{expected}: {message}", f"{field}{where}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"{expected}: {error}", field) from None
    if not 1 <= rows <= most:
        raise InvalidInput(f"{expected} with 1 to {most} rows {_SETTING}, got {rows}", field)
    try:
        values = np.asarray(nested, dtype=_EXACT.get(given.dtype, np.float64))
    except (ValueError, OverflowError):  # ragged; or beyond 64 bits
        values = np.empty(())
    if values.shape[1:] != sizes[1:]:
        where, problem = json_arrays.misshapen(nested, sizes) or ("", "the rows differ in shape")
        if form.shape != given.shape[1:]:
            problem += f"; the rows of a request have one size, the first is {list(form.shape)}"
        raise InvalidInput(f"{expected}: {problem}", f"{field}{where}")
    return json_arrays.check(values, given, field)


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
    kind: Any = _ELEMENTS.get(dtype, float)
    for _ in range(rank):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _values(given: Tensor) -> str:
    return "true, false, 1 or 0" if given.dtype == "bool" else "whole numbers" if given.dtype in WHOLE else "numbers"


def spell(tensor: Tensor) -> str:
    """A declared shape as text."""
    return "[" + ", ".join(str(size) for size in tensor.shape) + "]"
