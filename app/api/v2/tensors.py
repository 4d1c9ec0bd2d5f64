"""Converts between arrays and tensors as the protocol writes them, in JSON or as bytes.

Bytes are little-endian and row-major; a text is its length in four bytes, then its UTF-8.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from app.api import json_arrays
from app.contract.signature import Port
from app.contract.tensor import all_finite
from app.errors import InvalidInput, OutputNotFinite

DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "str": "BYTES",
}
"""The protocol's name for each dtype."""

_LENGTH = 4  # bytes of a text's length
_NUMBERS = "fiu"  # NumPy's kinds


def shape_of(port: Port) -> list[int]:
    """The shape of an input or output in the metadata, −1 for an open axis."""
    return [size if isinstance(size, int) else -1 for size in port.sizes]


def datatype_of(values: NDArray[Any]) -> str:
    """The protocol's name for the dtype of an output."""
    return DATATYPES["str" if values.dtype.kind in "OUS" else _name_of(values.dtype)]


@cache  # NumPy puts it together in a dozen calls
def _name_of(dtype: np.dtype[Any]) -> str:
    return str(dtype)


def from_bytes(data: memoryview, port: Port, shape: Sequence[int], place: str) -> NDArray[Any]:
    """Reads an array from bytes; it shares their memory if they are aligned.

    Raises:
        InvalidInput: there are too few or too many bytes, or they are not valid texts.
    """
    count = math.prod(shape)
    if port.dtype == "str":
        return _texts(data, count, place).reshape(shape)
    dtype = np.dtype(port.dtype).newbyteorder("<")
    if len(data) != count * dtype.itemsize:
        raise InvalidInput(f"expected {count * dtype.itemsize} bytes for {list(shape)}, got {len(data)}", place)
    if port.dtype == "bool" and (np.frombuffer(data, np.uint8) > 1).any():
        raise InvalidInput("expected bytes of 0 or 1", place)
    values = np.frombuffer(data, dtype).reshape(shape)
    return values if values.flags.aligned else values.copy()  # JSON of any length may come before it


def _texts(data: memoryview, count: int, place: str) -> NDArray[Any]:
    if count > len(data) // _LENGTH:  # before the shape, a mere claim, reserves memory
        raise InvalidInput(f"expected {count} texts, each after 4 bytes of length, got {len(data)} bytes", place)
    found = np.empty(count, dtype=object)
    at = 0
    for index in range(count):
        start = at + _LENGTH
        at = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or at > len(data):
            raise InvalidInput(f"text {index} is longer than what is left of the bytes", place)
        try:
            found[index] = str(data[start:at], "utf-8")
        except UnicodeDecodeError:
            raise InvalidInput(f"text {index} is not UTF-8", place) from None
    if at != len(data):
        raise InvalidInput(f"{len(data) - at} bytes are left after {count} texts", place)
    return found


def from_json(data: msgspec.Raw, port: Port, shape: Sequence[int], place: str) -> NDArray[Any]:
    """Reads an array from JSON values, nested as the shape says or flat.

    Raises:
        InvalidInput: they are nested in another way, or do not have the datatype; the field names the first such value
            by its indices in the shape, even if the values came flat.
    """
    if port.dtype == "float16":
        raise InvalidInput("FP16 has no form in JSON; send it as binary data", place)
    text = json_arrays.readable(data)
    dtype = np.dtype(object if port.dtype == "str" else port.dtype)
    if dtype.kind in _NUMBERS and (values := _read_numbers(text, dtype, tuple(shape))) is not None:
        return values.reshape(shape)
    return _read_slowly(text, port, dtype, shape, place)


def _read_numbers(text: bytes | memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """Reads the values in order; None if something is wrong."""
    count = math.prod(shape)
    if not 0 < count <= len(text):  # a shape is a claim: brackets are not built for more values than bytes
        return None
    brackets = json_arrays.brackets_of(text)
    if brackets not in (json_arrays.brackets((count,)), json_arrays.brackets(shape or (1,))):
        return None
    return json_arrays.read_all(text, dtype, count)


def _read_slowly(
    text: bytes | memoryview, port: Port, dtype: np.dtype[Any], shape: Sequence[int], place: str
) -> NDArray[Any]:
    """Does the same in Python, to say what is wrong."""
    datatype = DATATYPES[port.dtype]
    if dtype.kind in _NUMBERS and json_arrays.is_far_more(
        json_arrays.brackets_of(text), json_arrays.brackets_size(shape)
    ):
        raise InvalidInput(f"expected {math.prod(shape)} values for {list(shape)}, got more", place)
    try:
        nested = msgspec.json.decode(text, type=list)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"expected an array of {datatype}: {error}", place) from None
    count = math.prod(shape)
    if nested and isinstance(nested[0], list):
        wrong = json_arrays.misshapen(nested, shape)
        if wrong is not None:
            raise InvalidInput(f"expected values nested as {list(shape)}, or flat: {wrong[1]}", place + wrong[0])
        for _ in shape[1:]:
            nested = [value for part in nested for value in part]
    if len(nested) != count:
        raise InvalidInput(f"expected {count} values for {list(shape)}, got {len(nested)}", place)
    for index, value in enumerate(nested):
        if not _fits(value, dtype):
            shown = msgspec.json.encode(value).decode()[:40]
            where = "".join(f"[{at}]" for at in np.unravel_index(index, tuple(shape)))
            raise InvalidInput(f"expected {datatype}, got {shown}", place + where)
    found = np.empty(count, dtype=dtype)
    found[:] = nested
    return found.reshape(shape)


def _fits(value: Any, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "b":
        return isinstance(value, bool)
    if dtype.kind == "O":
        return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):  # to Python, true is the number 1
        return False
    if dtype.kind == "f":
        return abs(value) <= float(np.finfo(dtype).max)
    return isinstance(value, int) and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


def to_bytes(values: NDArray[Any]) -> bytes | memoryview:
    """An array as the protocol's bytes, without a copy if it is contiguous and little-endian."""
    if values.dtype.kind in "OUS":
        texts = [str(value).encode() for value in values.ravel()]
        return b"".join(part for text in texts for part in (len(text).to_bytes(_LENGTH, "little"), text))
    ordered = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return ordered.reshape(-1).view(np.uint8).data


def to_json(values: NDArray[Any], name: str) -> Any:
    """The values of an array, flat, for a JSON writer.

    Raises:
        InvalidInput: JSON cannot represent the datatype.
        OutputNotFinite: JSON cannot represent a value.
    """
    if values.dtype.kind in "OUS":
        return [str(value) for value in values.ravel()]
    if values.dtype == np.float16:
        raise InvalidInput(f"{name} is FP16, which has no form in JSON; ask for it with binary_data", "outputs")
    # orjson would write null
    if not all_finite(values):
        raise OutputNotFinite(f"{name} holds NaN or infinity, which JSON has not; ask for it with binary_data")
    return np.ascontiguousarray(values).ravel()


def classify(values: NDArray[Any], most: int, labels: Sequence[str], name: str) -> NDArray[Any]:
    """The largest values of each row [B, K] → texts `value:index:label` [B, most], as the classification extension
    defines them; without a label if there are none.

    Raises:
        InvalidInput: the tensor does not have the shape [B, K].
    """
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise InvalidInput(f"{name} cannot be shown as classes: expected numbers of the shape [B, K]", "outputs")
    # float64: −1 times an unsigned integer wraps around
    order = np.argsort(-values.astype(np.float64), axis=1, kind="stable")[:, :most]
    texts = [[_class(row[index], index, labels) for index in chosen] for row, chosen in zip(values, order)]
    return np.array(texts, dtype=object).reshape(order.shape)


def _class(value: Any, index: int, labels: Sequence[str]) -> str:
    shown = f"{value:f}" if isinstance(value, np.floating) else str(value)
    return f"{shown}:{index}" + (f":{labels[index]}" if labels else "")
