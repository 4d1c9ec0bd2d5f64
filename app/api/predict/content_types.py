"""The content types that /predict reads: JSON, arrays in NumPy's formats, pictures, and forms."""

from collections.abc import Callable

from app.api import query
from app.api.body import LARGE, LARGE_BINARY
from app.api.predict import form_inputs, image_inputs, json_inputs, npy_inputs, params
from app.api.predict.input_rows import InputRows
from app.api.predict.params import PredictParams
from app.errors import InvalidInput, UnsupportedMediaType

Inputs = Callable[[InputRows], None]
"""Reads the inputs, once the model is known."""

JSON = "application/json"
NPY = "application/x-npy"
NPZ = "application/x-npz"
FORM = form_inputs.TYPE
PICTURES = image_inputs.TYPES
TYPES = (JSON, NPY, NPZ, *PICTURES, FORM)
QUERY = PredictParams.__struct_fields__


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


def read(
    kind: str, content_type: str, body: bytes, query_string: bytes, limits: tuple[int, int]
) -> tuple[PredictParams, Inputs]:
    """The parameters of a request, and a function that reads its inputs once the model is known.

    Args:
        kind: one of TYPES.
        content_type: the whole header.
        query_string: holds what JSON and forms say in the body.
        limits: most rows, and most bytes of a body, decompressed.

    Raises:
        MalformedBody: the body does not match its type.
        InvalidInput: a field or query parameter is missing, unknown or of the wrong type.
    """
    most_rows, most_bytes = limits
    if kind == JSON:
        if query_string:
            _refuse_query(query_string)
        return _read_json(body)
    if kind == FORM:
        _refuse_query(query_string)
        form = form_inputs.Form(content_type, body, QUERY, most_rows)
        return params.read_query(form.fields), form.read
    found = params.read_query(query.read(query_string, QUERY))
    if kind == NPY:
        return found, lambda rows: rows.add(None, lambda given, field: npy_inputs.read_array(body, given, rows, field))
    if kind == NPZ:
        return found, lambda rows: npy_inputs.read_archive(body, rows, most_bytes)
    return found, lambda rows: rows.add(None, lambda given, field: image_inputs.read_images([body], given, rows, field))


def _read_json(body: bytes) -> tuple[PredictParams, Inputs]:
    if (quick := params.read_head(body)) is None:
        call = params.read_call(body)
        return call, lambda rows: json_inputs.read(call.inputs, rows)

    def read_inputs(rows: InputRows) -> None:
        try:
            json_inputs.read(quick.inputs, rows)
        except InvalidInput:
            params.read_call(body)  # perhaps they are not JSON at all
            raise

    return quick, read_inputs


def _refuse_query(text: bytes) -> None:
    """Checks that a request whose body holds its parameters has none in the query."""
    for name in query.read(text, QUERY):
        raise InvalidInput("belongs in the body, not in the query", name)
