"""From the bytes of a request to an array that the model takes, and from its outputs back to bytes.

Parsing and writing are done in C (msgspec, simdjson, orjson), checks with NumPy; Python walks through numbers only to
tell where an error is.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from app.contract.schema import Contract, Tensor
from app.engine.model import Model
from app.errors import InvalidInput, MalformedBody

try:
    import simdjson
except ImportError:  # not on every platform
    simdjson = None  # type: ignore[assignment]

# What a request may ask for, and the graph's outputs that each is written from.
SELECTABLE: dict[str, tuple[str, ...]] = {
    "prediction": ("prediction", "probabilities"),
    "probabilities": ("probabilities",),
    "entropy": ("entropy",),
    "expected_entropy": ("expected_entropy",),
    "mutual_information": ("mutual_information",),
    "energy": ("energy",),
    "submodels": ("submodels",),
    "logits": ("logits",),
}
DEFAULT = tuple(name for name in SELECTABLE if name != "logits")


class Call(msgspec.Struct, forbid_unknown_fields=True):
    """A request to predict, `inputs` still unread: their shape depends on the model."""

    inputs: msgspec.Raw
    model: str | None = None
    version: Annotated[int, msgspec.Meta(ge=1)] | None = None
    outputs: list[str] | None = None
    id: Annotated[str, msgspec.Meta(max_length=256)] | None = None


_NUMBERS = b"0123456789.eE+- \t\n\r"
_LARGEST = float(np.finfo(np.float32).max)

_call = msgspec.json.Decoder(Call)
_rows = msgspec.json.Decoder(list[msgspec.Raw])


def read_call(body: bytes) -> Call:
    """The envelope of a request.

    Raises:
        MalformedBody: the body is not JSON.
        InvalidInput: a field is missing, unknown or of the wrong type, or an output is unknown.
    """
    try:
        call = _call.decode(body)
    except msgspec.ValidationError as error:
        message, field = _place(error)
        raise InvalidInput(message, field) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(body, error) from None
    for index, name in enumerate(call.outputs or ()):
        if name not in SELECTABLE:
            raise InvalidInput(
                f"unknown output {name!r}; expected some of {', '.join(SELECTABLE)}", f"outputs[{index}]"
            )
    if call.outputs == []:
        raise InvalidInput("expected at least one output, or no `outputs` for all of them", "outputs")
    return call


def read_inputs(raw: msgspec.Raw, contract: Contract, most: int) -> NDArray[Any]:
    """The rows of a request as an array [B, …] of the dtype that the contract declares.

    Raises:
        InvalidInput: not numbers, another rank or shape, no rows or more than `most`, not finite, or outside the
            declared range; the field names the first place where that is so.
    """
    given = contract.inputs[0]
    array = _read_numbers(bytes(raw), given, most)
    return array if array is not None else _read_nested(raw, contract, most)


def _read_numbers(text: bytes, given: Tensor, most: int) -> NDArray[Any] | None:
    """The rows, when everything is as it should be; None when somebody has to find out what is not.

    What is left of the text without its numbers has to be the brackets and commas of the right shape; then the
    numbers need no look at how they are nested.
    """
    if simdjson is None:
        return None
    form = _form(given)
    brackets = text.translate(None, _NUMBERS)
    rows = (len(brackets) - 1) // (len(form.row) + 1)
    if not 1 <= rows <= most or brackets != b"[" + b",".join([form.row] * rows) + b"]":
        return None
    try:
        numbers = simdjson.Parser().parse(text).as_buffer(of_type=form.kind)  # type: ignore[union-attr]
    except (ValueError, TypeError, RuntimeError):
        return None
    values: NDArray[Any] = np.frombuffer(numbers, form.parsed)
    if len(values) != rows * form.size or values.min() < form.low or values.max() > form.high:
        return None
    return values.astype(given.dtype).reshape(rows, *form.shape)


def _read_nested(raw: msgspec.Raw, contract: Contract, most: int) -> NDArray[Any]:
    """The same as read_inputs, by a way that can tell what is wrong and where."""
    given = contract.inputs[0]
    sizes = contract.sizes(given)
    expected = f"expected {'whole numbers' if given.dtype == 'uint8' else 'numbers'} nested as {_spell(given)}"
    try:
        rows = len(_rows.decode(raw))  # cheap, and keeps too many of them from being read
        nested = _nested(given.dtype, len(sizes)).decode(raw) if rows <= most else []
    except msgspec.ValidationError as error:
        message, place = _place(error)
        raise InvalidInput(f"{expected}: {message}", f"inputs{place}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"{expected}: {error}", "inputs") from None
    if not 1 <= rows <= most:
        raise InvalidInput(f"{expected} with 1 to {most} rows (MASKSEMBLES_MAX_ROWS), got {rows}", "inputs")
    try:
        values = np.asarray(nested, dtype=np.float64)
    except ValueError:  # ragged
        values = np.empty(())
    if values.shape[1:] != sizes[1:]:
        place, problem = _misshapen(nested, sizes) or ("", "the rows differ in shape")
        raise InvalidInput(f"{expected}: {problem}", f"inputs{place}")
    low, high = given.range or (-np.inf, np.inf)
    if (outside := (values < low) | (values > high)).any():
        raise InvalidInput(
            f"expected values in [{low:g}, {high:g}] ({given.unit}), got {values[outside][0]:g}; "
            f"{outside.sum()} of {outside.size} values are outside",
            f"inputs{_first(outside)}",
        )
    with np.errstate(over="ignore"):
        array = values.astype(given.dtype)
    if not np.isfinite(array).all():
        raise InvalidInput("expected finite numbers that fit float32", f"inputs{_first(~np.isfinite(array))}")
    return array


def select(outputs: Sequence[str] | None) -> tuple[Sequence[str], tuple[str, ...]]:
    """What a request gets, and the graph's outputs that are needed for it."""
    if outputs is None:
        return DEFAULT, _NEEDED
    return outputs, _needed(outputs)


def _needed(outputs: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for choice in outputs for name in SELECTABLE[choice]))


_NEEDED = _needed(DEFAULT)


def write_answer(call: Call, model: Model, chosen: Sequence[str], found: dict[str, NDArray[Any]]) -> bytes:
    """The answer to a request as JSON: one prediction for each row, with what was chosen in the order of SELECTABLE."""
    labels = model.contract.labels
    rows: list[dict[str, Any]] = [{} for _ in next(iter(found.values()))]
    for choice in SELECTABLE:
        if choice not in chosen:
            continue
        values = found[choice]
        if choice == "prediction":
            for row, index, probabilities in zip(rows, values.tolist(), found["probabilities"]):
                row["label"], row["index"], row["confidence"] = labels[index], index, probabilities[index]
        elif choice == "submodels":
            for row, members, indices in zip(rows, values, values.argmax(axis=-1).tolist()):
                row["submodels"] = [
                    {"label": labels[index], "index": index, "probabilities": probabilities}
                    for index, probabilities in zip(indices, members)
                ]
        else:
            for row, value in zip(rows, values):
                row[choice] = value
    answer: dict[str, Any] = {"id": call.id} if call.id is not None else {}
    answer["model"] = {
        "name": model.name,
        "version": model.version,
        "task": model.contract.task,
        "method": model.contract.method,
        "num_submodels": model.contract.num_submodels,
    }
    answer["predictions"] = rows
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


@dataclass(frozen=True)
class _Form:
    """What a row of an input looks like as JSON."""

    row: bytes
    """Its brackets and commas."""
    shape: tuple[int, ...]
    size: int
    kind: Literal["d", "i"]
    """How simdjson calls its numbers ..."""
    parsed: str
    """... and NumPy what comes of them."""
    low: float
    high: float


@cache
def _form(given: Tensor) -> _Form:
    shape = tuple(size for size in given.shape[1:] if isinstance(size, int))
    row = b""
    for size in reversed(shape):
        row = b"[" + b",".join([row] * size) + b"]"
    low, high = (0, 255) if given.dtype == "uint8" else (-_LARGEST, _LARGEST)
    if given.range is not None:
        low, high = max(low, given.range[0]), min(high, given.range[1])
    whole = given.dtype == "uint8"
    kind: Literal["d", "i"] = "i" if whole else "d"
    return _Form(row, shape, math.prod(shape), kind, "int64" if whole else "float64", low, high)


@cache
def _nested(dtype: str, rank: int) -> msgspec.json.Decoder[list[Any]]:
    kind: Any = Annotated[int, msgspec.Meta(ge=0, le=255)] if dtype == "uint8" else float
    for _ in range(rank):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def _place(error: msgspec.ValidationError) -> tuple[str, str]:
    """An error of msgspec as its message and its place, `model` or `[0][3]`."""
    message, _, place = str(error).partition(" - at `$")
    return message, place.rstrip("`").lstrip(".")


def _malformed(body: bytes, error: Exception) -> MalformedBody:
    """Why a body is not JSON. Python's json module writes NaN and Infinity, so these get their own words."""
    _, _, tail = str(error).rpartition("(byte ")
    at = int(tail.rstrip(")")) if tail.rstrip(")").isdigit() else len(body)
    for word in (b"NaN", b"Infinity"):  # of -Infinity it is the I that is no number
        if body.startswith(word, at):
            keys = re.findall(rb'"(\w+)"\s*:', body[:at])
            return MalformedBody(
                f"{word.decode()} at byte {at}: JSON has no such number, expected finite numbers",
                keys[-1].decode() if keys else None,
            )
    return MalformedBody(f"the body is not JSON: {error}")


def _misshapen(nested: Any, sizes: Sequence[int | None], place: str = "") -> tuple[str, str] | None:
    """Where nested lists leave the shape, and how; the innermost lists are counted, not read."""
    if sizes[0] is not None and len(nested) != sizes[0]:
        return place, f"expected {sizes[0]} here, got {len(nested)}"
    if len(sizes) > 1:
        for index, part in enumerate(nested):
            if (wrong := _misshapen(part, sizes[1:], f"{place}[{index}]")) is not None:
                return wrong
    return None


def _first(wrong: NDArray[np.bool_]) -> str:
    return "".join(f"[{index}]" for index in np.argwhere(wrong)[0])


def _spell(tensor: Tensor) -> str:
    return "[" + ", ".join(str(size) for size in tensor.shape) + "]"
