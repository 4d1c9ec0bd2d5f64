"""Takes a request to infer apart before protobuf reads it: tensors stay where they are, and the rest has a bound.

protobuf's parser copies the tensors twice, and makes 700 MiB of a message of 16 MiB that holds nothing but empty
inputs. So the fields are counted first; those with the bytes of tensors are passed on as views.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.message import DecodeError

from app.api.grpc.messages import InferRequest
from app.errors import InvalidInput, MalformedBody

_MOST = 4096  # fields in a message, and in one of its inputs
_LONGEST_HEAD = 2**16  # bytes of all but values
_INPUT = InferRequest.DESCRIPTOR.fields_by_name["inputs"].number
_RAW = InferRequest.DESCRIPTOR.fields_by_name["raw_input_contents"].number
_CONTENTS = InferRequest.InferInputTensor.DESCRIPTOR.fields_by_name["contents"].number
_VARINT, _BYTES = 0, 2  # wire types
_FIXED = {1: 8, 5: 4}  # bytes by wire type
_LONGEST_VARINT = 10
_NOT_ONE = "the message is not a ModelInferRequest"


def split(body: bytes) -> tuple[Any, list[memoryview]]:
    """A request to infer without its raw contents, and those.

    Raises:
        MalformedBody: the body is no such message.
        InvalidInput: it has too many fields, or too much beside the values of its inputs.
    """
    head: list[memoryview] = []
    raw: list[memoryview] = []
    size = 0
    for number, whole, value in _fields(memoryview(body)):
        if number == _RAW and value is not None:
            raw.append(value)
            continue
        head.append(whole)
        size += len(whole)
        if number == _INPUT and value is not None:
            size -= sum(len(part) for inner, part, _ in _fields(value) if inner == _CONTENTS)
        if size > _LONGEST_HEAD:
            raise InvalidInput(f"expected at most {_LONGEST_HEAD} bytes beside the values of the inputs")
    try:
        return InferRequest.FromString(b"".join(head)), raw
    except DecodeError as error:
        raise MalformedBody(f"{_NOT_ONE}: {error}") from None


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview, memoryview | None]]:
    """The fields of a message: number, all their bytes, and the value if that is bytes."""
    at = count = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        value: memoryview | None = None
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _BYTES:
            size, at = _varint(data, at)
            value = data[at : at + size]
            at += size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise MalformedBody(_NOT_ONE)
        count += 1
        if at > len(data):
            raise MalformedBody(f"{_NOT_ONE}: it is cut off")
        if count > _MOST:
            raise InvalidInput(f"expected at most {_MOST} fields")
        yield key >> 3, data[start:at], value


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    found = 0
    for index, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        found |= (byte & 127) << 7 * index
        if byte < 128:
            return found, at + index + 1
    raise MalformedBody(f"{_NOT_ONE}: it is cut off")
