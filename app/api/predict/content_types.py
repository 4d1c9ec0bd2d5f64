"""The content types that /predict reads: JSON, arrays in NumPy's format, images, and forms with images."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from app.api import json_arrays, query
from app.api.body import LARGE, LARGE_BINARY
from app.api.predict import params
from app.api.predict.params import PredictParams
from app.contract import images
from app.contract.schema import Contract
from app.errors import InvalidInput, MalformedBody, UnsupportedMediaType

Inputs = Callable[[Contract], NDArray[Any]]
"""Reads the rows [B, …] as a contract declares them."""

JSON = "application/json"
NPY = "application/x-npy"
FORM = "multipart/form-data"
PICTURES = ("image/png", "image/jpeg", "image/webp")
TYPES = (JSON, NPY, *PICTURES, FORM)
QUERY = PredictParams.__struct_fields__

_LONGEST_NPY_HEADER = 10_000  # characters; NumPy parses them as a Python literal
_LONGEST_FIELD = 1024  # bytes of a form's field


def kind_of(content_type: str) -> str:
    """Which of TYPES a Content-Type header names.

    Raises:
        UnsupportedMediaType: none of them.
    """
    if content_type == JSON:  # nearly every request: no parsing
        return JSON
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in TYPES:
        raise UnsupportedMediaType(f"expected Content-Type: {', '.join(TYPES)}; got {kind or 'none'}")
    return kind


def is_heavy(kind: str, size: int) -> bool:
    """Whether reading a body of that size would stall the event loop; a small file may be a large image."""
    if kind == JSON:
        return size > LARGE
    return kind != NPY or size > LARGE_BINARY


def read(kind: str, content_type: str, body: bytes, query_string: bytes, most: int) -> tuple[PredictParams, Inputs]:
    """The parameters of a request, and a function that reads its rows once the model is known.

    Args:
        kind: one of TYPES.
        content_type: the whole header.
        query_string: holds what JSON and forms say in the body.
        most: most rows.

    Raises:
        MalformedBody: the body does not match its type.
        InvalidInput: a field or query parameter is missing, unknown or of the wrong type.
    """
    if kind == JSON:
        if query_string:
            _refuse_query(query_string)
        call = params.read_call(body)
        return call, lambda contract: params.read_inputs(call.inputs, contract, most)
    if kind == FORM:
        _refuse_query(query_string)
        fields, files = _read_form(content_type, body, most)
        return params.read_query(fields), lambda contract: _read_images(files, contract)
    found = params.read_query(query.read(query_string, QUERY))
    if kind == NPY:
        return found, lambda contract: read_npy(body, contract, most)
    return found, lambda contract: _read_images([body], contract)


def _refuse_query(text: bytes) -> None:
    """Checks that a request whose body holds its parameters has none in the query."""
    for name in query.read(text, QUERY):
        raise InvalidInput("belongs in the body, not in the query", name)


def read_npy(body: bytes, contract: Contract, most: int) -> NDArray[Any]:
    """Reads the rows of an array in NumPy's format, version 1 or 2; never unpickles.

    Accepts any number that the declared type can hold: floats of any precision and integers for float32, integers for
    uint8.

    Raises:
        MalformedBody: the body is not in that format, or is shorter or longer than its header says.
        InvalidInput: the dtype or shape is wrong, there are no rows or more than `most`, or a value is not finite or is
            outside the declared range.
    """
    given = contract.inputs[0]
    stream = io.BytesIO(body)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version[0]}.{version[1]} is not known here")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(stream, max_header_size=_LONGEST_NPY_HEADER)
    except Exception as error:  # NumPy evaluates the header as a Python literal, which may fail in many ways
        reason = (str(error) or type(error).__name__).partition("\n")[0][:200]
        raise MalformedBody(f"the body is not an array in NumPy's format: {reason}", "inputs") from None
    # numbers only: an array of objects is a pickle, which can run code
    kinds = "iu" if given.dtype == "uint8" else "iuf"
    if dtype.kind not in kinds or dtype.fields is not None or dtype.subdtype is not None:
        raise InvalidInput(f"expected {given.dtype}, got an array of {dtype}", "inputs")
    problem = f"expected the shape {params.spell(given)}, got {list(shape)}"
    if len(shape) != len(given.shape) or any(type(size) is not int or size < 0 for size in shape):
        raise InvalidInput(problem, "inputs")
    if (misfit := contract.misfit(given, shape[1:])) is not None:
        raise InvalidInput(f"{problem}: {misfit[1]}" if contract.axes else problem, "inputs")
    if not 1 <= shape[0] <= most:
        raise InvalidInput(f"expected 1 to {most} rows (MASKSEMBLES_MAX_ROWS), got {shape[0]}", "inputs")
    count = int(np.prod(shape, dtype=np.int64))  # after the shape is checked: no size can overflow it
    left = len(body) - stream.tell()
    if left != count * dtype.itemsize:
        raise MalformedBody(f"expected {count * dtype.itemsize} bytes of numbers, got {left}", "inputs")
    values = np.frombuffer(body, dtype, count, stream.tell())
    return json_arrays.check(values.reshape(shape, order="F" if fortran else "C"), given, "inputs")


def _read_form(content_type: str, body: bytes, most: int) -> tuple[dict[str, str], list[bytes]]:
    """The fields of a form, and its files in order."""
    fields: dict[str, str] = {}
    files: list[bytes] = []
    ended = False

    def on_field(field: Field) -> None:
        name = (field.field_name or b"").decode("latin-1")
        if name not in QUERY:
            raise InvalidInput(f"unknown field; expected some of {', '.join(QUERY)} and files named inputs", name)
        if name in fields or len(field.value or b"") > _LONGEST_FIELD:
            raise InvalidInput(f"expected once, and at most {_LONGEST_FIELD} bytes", name)
        try:
            fields[name] = (field.value or b"").decode()
        except UnicodeDecodeError:
            raise InvalidInput("expected UTF-8", name) from None

    def on_file(file: File) -> None:
        if len(files) == most:  # here, so that parsing stops at the first one too many
            raise InvalidInput(f"expected 1 to {most} images (MASKSEMBLES_MAX_ROWS), got more", "inputs")
        if file.field_name != b"inputs":
            raise InvalidInput("unknown field; files are named inputs", (file.field_name or b"").decode("latin-1"))
        file.file_object.seek(0)
        files.append(file.file_object.read())

    def on_end() -> None:
        nonlocal ended
        ended = True

    _, options = parse_options_header(content_type)
    try:
        in_memory = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # or large files go through the disk
        parser = FormParser(FORM, on_field, on_file, on_end, boundary=options.get(b"boundary"), config=in_memory)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise MalformedBody(f"the body is not a form of the type multipart/form-data: {error}") from None
    if not ended:  # the parser accepts a form that is cut off, and rows would be missing
        raise MalformedBody("the body is not a form of the type multipart/form-data: it is cut off")
    if not files:
        raise InvalidInput("expected one image or more, each a file named inputs", "inputs")
    return fields, files


def _read_images(files: list[bytes], contract: Contract) -> NDArray[Any]:
    """One row for each file."""
    given = contract.inputs[0]
    if not images.takes_images(given):
        raise InvalidInput("this model takes no images: its contract names no layout, colour and range", "inputs")
    try:
        rows = images.decode(files, given, contract.axes)
    except images.ImageError as error:
        raise InvalidInput(str(error), f"inputs[{error.index}]") from None
    return json_arrays.check(rows, given, "inputs")
