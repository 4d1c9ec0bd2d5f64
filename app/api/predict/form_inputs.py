"""Forms: a part for each input, as a picture, an array or JSON, and the parameters of the request as fields."""

from collections.abc import Collection
from typing import Any, NoReturn

from numpy.typing import NDArray
from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from app.api.predict import image_inputs, json_inputs, npy_inputs
from app.api.predict.input_rows import InputRows
from app.contract.tensor import Tensor
from app.errors import InvalidInput, MalformedBody

TYPE = "multipart/form-data"

_ONLY = "inputs"
"""A part of this name is the only input, whatever its name."""
_LONGEST_FIELD = 1024  # bytes of a parameter
_MOST_NAMES = 256


class Form:
    """The parts of a form by their names.

    Args:
        parameters: the names of fields that are no inputs.
        most: most parts of one name, one for each row.

    Raises:
        MalformedBody: the body is no form, or is cut off.
        InvalidInput: a field is too long or comes twice, or there are too many parts of a name, or no input.
    """

    def __init__(self, content_type: str, body: bytes, parameters: Collection[str], most: int) -> None:
        self.fields: dict[str, str] = {}
        self.parts: dict[str, list[bytes]] = {}
        self._parameters = parameters
        self._most = most
        ended: list[bool] = []
        _, options = parse_options_header(content_type)
        try:
            in_memory = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # or large files go through the disk
            parser = FormParser(
                TYPE, self._on_field, self._on_file, lambda: ended.append(True),
                boundary=options.get(b"boundary"), config=in_memory,
            )  # fmt: skip
            parser.write(body)
            parser.finalize()
        except FormParserError as error:
            raise MalformedBody(f"the body is not a form of the type {TYPE}: {error}") from None
        if not ended:  # the parser accepts a form that is cut off, and rows would be missing
            raise MalformedBody(f"the body is not a form of the type {TYPE}: it is cut off")
        if not self.parts:
            raise InvalidInput("expected a part for each input, named after it", _ONLY)

    def _on_field(self, field: Field) -> None:
        name = (field.field_name or b"").decode("latin-1")
        value = field.value or b""
        if name not in self._parameters:
            self._add(name, value)
            return
        if name in self.fields or len(value) > _LONGEST_FIELD:
            raise InvalidInput(f"expected once, and at most {_LONGEST_FIELD} bytes", name)
        try:
            self.fields[name] = value.decode()
        except UnicodeDecodeError:
            raise InvalidInput("expected UTF-8", name) from None

    def _on_file(self, file: File) -> None:
        file.file_object.seek(0)
        self._add((file.field_name or b"").decode("latin-1"), file.file_object.read())

    def _add(self, name: str, content: bytes) -> None:
        if name not in self.parts and len(self.parts) == _MOST_NAMES:  # here, so that parsing stops at once
            raise InvalidInput(f"expected at most {_MOST_NAMES} names of inputs", _field(name))
        parts = self.parts.setdefault(name, [])
        if len(parts) == self._most:
            raise InvalidInput(f"expected 1 to {self._most} rows (MASKSEMBLES_MAX_ROWS), got more", _field(name))
        parts.append(content)

    def read(self, rows: InputRows) -> None:
        """Reads the inputs.

        Raises:
            InvalidInput: see `InputRows.add`; or a part is no input, or several are one and no pictures, each a row.
            MalformedBody: an array is damaged.
        """
        names = {given.name for given in rows.contract.inputs}
        for name, parts in self.parts.items():
            only = name == _ONLY and len(names) == 1
            if not only and name not in names:
                self._refuse(name, names)
            rows.add(None if only else name, lambda given, field, parts=parts: _read(parts, given, rows, field))  # type: ignore[misc]

    def _refuse(self, name: str, names: Collection[str]) -> NoReturn:
        if name in self._parameters:
            raise InvalidInput("expected text, not a file", name)
        there = ", ".join([*self._parameters, *names])
        raise InvalidInput(f"unknown field; there are: {there}", name[:100])


def _field(name: str) -> str:
    return name if name == _ONLY else f"{_ONLY}.{name[:100]}"


def _read(parts: list[bytes], given: Tensor, rows: InputRows, field: str) -> NDArray[Any]:
    """What a part is, its first bytes tell: clients name content types as they please."""
    array = next((part for part in parts if part.startswith(npy_inputs.MAGIC)), None)
    text = next((part for part in parts if part.lstrip()[:1] == b"["), None)
    if array is None and text is None:
        return image_inputs.read_images(parts, given, rows, field)
    if len(parts) > 1:
        raise InvalidInput("expected one part with all rows, or a picture for each", field)
    if array is not None:
        return npy_inputs.read_array(array, given, rows, field)
    return json_inputs.read_array(parts[0], given, rows, field)
