"""Rows as arrays in NumPy's formats: one array, or several by name in an archive."""

import io
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api import json_arrays
from app.api.predict.input_rows import InputRows
from app.api.predict.json_inputs import spell
from app.contract.tensor import Tensor
from app.errors import BodyTooLarge, InvalidInput, MalformedBody

MAGIC = b"\x93NUMPY"

_LONGEST_HEADER = 10_000  # characters; NumPy parses them as a Python literal
_LONGEST_DIRECTORY = 2**16  # bytes; each file in it takes 46 and its name
_KINDS = {"float32": "iuf", "bool": "biu"}
"""NumPy's kinds of dtypes that a declared one takes; whole numbers take whole numbers."""


class _File(io.BytesIO):
    """An archive whose directory is read only if it is short: Python makes ten times its size of it."""

    opened = False

    def read(self, size: int | None = -1, /) -> bytes:
        if not self.opened and size is not None and size > _LONGEST_DIRECTORY:
            raise ValueError("it holds too many files")
        return super().read(size)


def read_archive(body: bytes, rows: InputRows, most_bytes: int) -> None:
    """Reads the inputs in an archive as `numpy.savez` writes it.

    Args:
        most_bytes: of all arrays together, decompressed.

    Raises:
        MalformedBody: the body is no such archive.
        BodyTooLarge: the arrays are larger than `most_bytes`.
        InvalidInput: see `InputRows.add` and `read_array`.
    """
    try:
        file = _File(body)
        archive = zipfile.ZipFile(file)
        file.opened = True
    except Exception as error:  # zipfile raises several kinds over a file that is something else
        raise MalformedBody(f"the body is not an archive of arrays (npz): {error}", "inputs") from None
    left = most_bytes
    for member in archive.infolist():
        if not member.filename.endswith(".npy"):
            raise InvalidInput("expected arrays alone, as numpy.savez writes them", f"inputs.{member.filename[:100]}")
        try:
            # what the head says of its size is a claim: no more is decompressed than is left
            with archive.open(member) as opened:
                content = opened.read(left + 1)
        except Exception as error:  # zlib's, zipfile's, or that it is encrypted
            raise MalformedBody(f"the archive is damaged: {error}", f"inputs.{member.filename[:100]}") from None
        left -= len(content)
        if left < 0:
            raise BodyTooLarge(f"the arrays have more than {most_bytes} bytes (MASKSEMBLES_MAX_BODY_BYTES)")
        name = member.filename.removesuffix(".npy")
        rows.add(name, lambda given, field, content=content: read_array(content, given, rows, field))  # type: ignore[misc]


def read_array(body: bytes, given: Tensor, rows: InputRows, field: str) -> NDArray[Any]:
    """Reads one input [B, …] in NumPy's format, version 1 or 2; never unpickles.

    Accepts any number that the declared type can hold: floats of any precision and integers for float32, integers for
    whole numbers.

    Raises:
        MalformedBody: the bytes are not in that format, or are fewer or more than their header says.
        InvalidInput: the dtype or shape is wrong, there are no rows or more than allowed, or a value is not finite or
            is outside the declared range.
    """
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} is not known here")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(stream, max_header_size=_LONGEST_HEADER)
    except Exception as error:  # NumPy evaluates the header as a Python literal, which may fail in many ways
        reason = (str(error) or type(error).__name__).partition("\n")[0][:200]
        raise MalformedBody(f"not an array in NumPy's format: {reason}", field) from None
    # numbers only: an array of objects is a pickle, which can run code
    if dtype.kind not in _KINDS.get(given.dtype, "iu") or dtype.fields is not None or dtype.subdtype is not None:
        raise InvalidInput(f"expected {given.dtype}, got an array of {dtype}", field)
    problem = f"expected the shape {spell(given)}, got {list(shape)}"
    if len(shape) != len(given.shape) or any(type(size) is not int or size < 0 for size in shape):
        raise InvalidInput(problem, field)
    if (misfit := rows.misfit(given, shape[1:])) is not None:
        raise InvalidInput(f"{problem}: {misfit[1]}" if rows.contract.axes else problem, field)
    if not 1 <= shape[0] <= rows.most:
        raise InvalidInput(f"expected 1 to {rows.most} rows (MASKSEMBLES_MAX_ROWS), got {shape[0]}", field)
    count = int(np.prod(shape, dtype=np.int64))  # after the shape is checked: no size can overflow it
    left = len(body) - stream.tell()
    if left != count * dtype.itemsize:
        raise MalformedBody(f"expected {count * dtype.itemsize} bytes of numbers, got {left}", field)
    values = np.frombuffer(body, dtype, count, stream.tell())
    return json_arrays.check(values.reshape(shape, order="F" if fortran else "C"), given, field)
