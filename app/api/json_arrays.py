"""Reads JSON arrays of numbers into NumPy arrays, in C and without building nested lists.

Without its numbers, the text must equal the brackets and commas of the wanted shape; then the numbers can be read one
after the other. Long texts are read in pieces, so that the reading thread lets others run in between, and what is in
memory beside the text and its numbers is small.
"""

from collections.abc import Iterator, Sequence
from math import isfinite
from secrets import token_hex
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from app.api.json_errors import NOT_JSON
from app.contract.tensor import Tensor
from app.errors import InvalidInput

try:
    import simdjson
except ImportError:  # wheels for some platforms only; msgspec takes three times as long
    simdjson = None  # type: ignore[assignment]

Decoded = TypeVar("Decoded")
Kind = Literal["d", "i", "u"]
"""float64, int64 or uint64, as simdjson calls them."""

MARK = f'"{token_hex()}"'.encode()
"""The JSON value that stands where an array was cut out; no client can know it."""

_NUMBERS = b"0123456789.eE+- \t\n\r"
_OPEN, _CLOSE = b"[]"
_PIECE = 2**17  # bytes read in a quarter of a millisecond, during which the interpreter's lock is held
_KINDS: dict[str, Kind] = {"f": "d", "i": "i", "u": "i"}
_PARSED = {"d": "float64", "i": "int64", "u": "uint64"}
_SLACK = 2**16  # bytes beyond the brackets up to which lists are built to say what is wrong


def brackets(shape: tuple[int, ...]) -> bytes:
    """The brackets and commas of an array of that shape."""
    text = b""
    for size in reversed(shape):
        text = b"[" + (text + b",") * (size - 1) + text * min(size, 1) + b"]"
    return text


def brackets_size(shape: Sequence[int]) -> int:
    """Length of `brackets(shape)`, computed without building it."""
    size = 0
    for axis in reversed(shape):
        size = 2 + axis * size + max(0, axis - 1)
    return size


def brackets_of(text: bytes | memoryview) -> bytes:
    """The brackets and commas of a text, and whatever else is not part of a number."""
    if isinstance(text, bytes):
        return text.translate(None, _NUMBERS)
    parts = (bytes(text[at : at + _PIECE]) for at in range(0, len(text), _PIECE))
    return b"".join([part.translate(None, _NUMBERS) for part in parts])


def sizes_of(found: bytes, rank: int) -> tuple[int, ...] | None:
    """The sizes that the brackets and commas of a nested array begin with: of the array and of the first part in each
    of its axes; None if it is not nested so deep. Whether all parts are alike, `brackets` of these sizes tells."""
    if not found.startswith(b"[" * rank) or found.startswith(b"[" * (rank + 1)):
        return None
    sizes: list[int] = []
    inner = 0  # length of a part
    for depth in range(1, rank + 1):
        end = found.find(b"]" * depth, rank - depth)  # the first array at that depth ends with so many
        if end < 0:
            return None
        length = end + depth - (rank - depth)
        sizes.insert(0, (length - 1) // (inner + 1))
        inner = length
    return tuple(sizes)


def is_far_more(found: bytes, size: int) -> bool:
    """Whether brackets exceed that size by so much that lists of their text would take too much memory."""
    return len(found) > _SLACK + size


def decode_around(decoder: msgspec.json.Decoder[Decoded], text: bytes, name: bytes) -> tuple[Decoded, Raw] | None:
    """Decodes an object but for the array of that name: the object with MARK in its place, and the array, which may
    turn out not to be JSON.

    A decoder would walk through all its numbers only to find its end. It is not certain that the name is a field's: so
    the object must have MARK where the array is wanted. If not, if the array turns out to be wrong, or if this returns
    None, since it is not so simple or something is wrong, the whole text must be decoded.
    """
    parts = cut(text, name)
    if parts is None:
        return None
    head, array = parts
    try:
        return decoder.decode(head), Raw(array)
    except NOT_JSON:
        return None


def is_cut(raw: object) -> bool:
    """Whether a field holds MARK."""
    return isinstance(raw, Raw) and memoryview(raw) == MARK


def cut(text: bytes, name: bytes) -> tuple[bytes, memoryview] | None:
    """The text with MARK in place of what seems to be an array of numbers of that name, and the array; neither is
    checked."""
    quoted = b'"' + name + b'"'
    after = text.find(quoted) + len(quoted)
    start = text.find(b"[", after)
    if after < len(quoted) or start < 0 or text[after:start].strip() != b":":
        return None
    end = min(place if place > 0 else len(text) for place in (text.find(b'"', start), text.find(b"}", start)))
    stop = text.rfind(b"]", start, end) + 1
    return (text[:start] + MARK + text[stop:], memoryview(text)[start:stop]) if stop else None


def readable(raw: msgspec.Raw | bytes) -> bytes | memoryview:
    """Prepares a text for the functions here: short ones are copied, long ones are read in pieces."""
    view = memoryview(raw)
    return bytes(view) if len(view) <= _PIECE else view


def read_all(
    text: bytes | memoryview, dtype: np.dtype[Any], count: int, limits: tuple[float, float] | None = None
) -> NDArray[Any] | None:
    """The `count` numbers of a JSON array in order, or None if the slow way must find out what is wrong.

    Args:
        text: its brackets and commas match the shape.
        dtype: float or integer; values that it cannot hold are errors.
        limits: smallest and largest value, if narrower than those of the dtype.
    """
    if simdjson is None:
        return None
    # int64 cannot hold the upper half of uint64
    kind: Kind = "u" if dtype == np.uint64 else _KINDS[dtype.kind]
    holds = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    low, high = (holds.min, holds.max) if limits is None else (max(holds.min, limits[0]), min(holds.max, limits[1]))
    found = np.empty(count, dtype)
    at = 0
    try:
        for values in _numbers(text, kind):  # each while it is in the processor's cache
            end = at + len(values)
            if end > count or values.min() < low or values.max() > high:
                return None
            found[at:end] = values
            at = end
    except (ValueError, TypeError, RuntimeError):  # simdjson's, by what is wrong; the slow way finds the words
        return None
    return found if at == count else None  # fewer where nothing stands between two commas at which it was cut


def check(values: NDArray[Any], given: Tensor, place: str) -> NDArray[Any]:
    """Converts values [B, …] of any type to the one that a tensor declares; those that are so already are not copied.

    Raises:
        InvalidInput: a value is not finite, outside the declared range, or not whole if it must be; the field names the
            first such value after `place`.
    """
    is_ready = values.dtype == given.dtype and values.flags.c_contiguous and values.flags.aligned
    if is_ready and given.channel_ranges is None and _is_within(values, given):  # nearly every request
        return values
    if values.dtype.kind == "f" and values.dtype.itemsize < 4:
        values = values.astype(np.float32)  # half precision may not hold the bounds of the range
    if (outside := given.outside(values)).any():
        raise InvalidInput(
            f"expected {given.expected(np.argwhere(outside)[0].tolist())}, got {values[outside][0]:g}; "
            f"{outside.sum()} of {outside.size} values are outside",
            place + _first(outside),
        )
    with np.errstate(over="ignore", invalid="ignore"):
        array = values.astype(given.dtype, order="C")  # C order: batches are joined by their bytes
    if not np.isfinite(values).all() or not np.isfinite(array).all():
        finite = np.isfinite(values) & np.isfinite(array)
        raise InvalidInput("expected finite numbers that fit float32", place + _first(~finite))
    return array


def _is_within(values: NDArray[Any], given: Tensor) -> bool:
    """Whether all values are finite and in the declared range, in two passes."""
    low, high = given.limits
    least, most = values.min(), values.max()  # one that is NaN makes both NaN
    return bool(least >= low and most <= high and isfinite(least) and isfinite(most))


def _first(wrong: NDArray[np.bool_]) -> str:
    return "".join(f"[{index}]" for index in np.argwhere(wrong)[0])


def _numbers(text: bytes | memoryview, kind: Kind) -> Iterator[NDArray[Any]]:
    """The numbers of a JSON array, in one part or, of a long one, in several."""
    parser: Any = simdjson.Parser()  # one: its buffers take a third of the time to get
    for piece in (text,) if isinstance(text, bytes) else _pieces(text):
        yield np.frombuffer(parser.parse(piece).as_buffer(of_type=kind), _PARSED[kind])


def _pieces(text: memoryview) -> Iterator[bytes]:
    """Cuts a long array into several short ones at commas: brackets that are open there are closed, and opened anew."""
    start = depth = 0
    while start < len(text):
        piece = bytes(text[start : start + _PIECE])
        if start + len(piece) < len(text):
            end = piece.rfind(b",")
            piece = piece[:end] if end >= 0 else bytes(text[start:])
        start += len(piece) + 1
        letters = np.frombuffer(piece, np.uint8)
        before = depth
        depth += int(np.count_nonzero(letters == _OPEN)) - int(np.count_nonzero(letters == _CLOSE))
        yield b"[" * before + piece + b"]" * depth


def misshapen(nested: Any, sizes: Sequence[int | None], place: str = "") -> tuple[str, str] | None:
    """Where nested lists deviate from a shape, and how; the innermost lists are counted, not read."""
    if not isinstance(nested, list) or not sizes:
        return place, "expected an array here" if sizes else "expected one value in one array"
    if sizes[0] is not None and len(nested) != sizes[0]:
        return place, f"expected {sizes[0]} here, got {len(nested)}"
    if len(sizes) > 1:
        for index, part in enumerate(nested):
            if (wrong := misshapen(part, sizes[1:], f"{place}[{index}]")) is not None:
                return wrong
    return None
