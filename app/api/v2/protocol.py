"""Inference of the Open Inference Protocol v2 over REST: tensors in, tensors out, as JSON or as bytes after it."""

from collections.abc import Mapping
from dataclasses import replace

from app.api.body import LARGE, LARGE_BINARY, MOST_NUMBERS
from app.api.inference import Call, Encoded, RequestedModel, Rows
from app.api.v2 import request as requests
from app.api.v2 import response
from app.contract.decisions import Decided
from app.engine.bare_model import Servable
from app.engine.job import Arrays
from app.engine.model import Model
from app.engine.row_shapes import Feeds
from app.errors import InvalidInput

_NUMBER = 4  # bytes
_LENGTH = "Inference-Header-Content-Length"


class InferCall(Call):
    """One request to infer.

    Args:
        headers: by name in lower case.
        target: the model that the path names.
        max_rows: most rows in a request, for models with a contract.
    """

    _request: requests.Request

    def __init__(self, headers: Mapping[bytes, bytes], target: RequestedModel, max_rows: int) -> None:
        self._target = target
        self._length = headers.get(_LENGTH.lower().encode())
        self._max_rows = max_rows

    def target(self) -> RequestedModel | None:
        """The path names the model."""
        return self._target

    def is_heavy(self, body: bytes, model: Servable | None) -> bool:
        """JSON and texts take longer to read than binary numbers."""
        length = self._length
        # a bad length is refused later, by `read`; 18 digits fit 64 bits
        text = len(body) if length is None else int(length[:18]) if length.isdigit() else 0
        texts = model is not None and any(port.dtype == "str" for port in model.signature.inputs)
        return text > LARGE or len(body) > (LARGE if texts else LARGE_BINARY)

    def locate(self, body: bytes) -> RequestedModel:
        """The path names the model."""
        return self._target

    def decode(self, body: bytes, model: Servable) -> Rows:
        """Reads the JSON and the tensors in it or after it."""
        self._request = requests.read(body, self._length, model.signature)
        given = requests.arrays(self._request, model, self._max_rows)
        if isinstance(model, Model) and any(head.grid for head in model.contract.heads):
            self._check_json(model, given)
        # these hold the body, and the rows may wait for seconds
        self._request = replace(self._request, inputs=(), unproved=b"")
        return Rows(given, tuple(output.name for output in self._request.outputs), self._request.seconds)

    def _check_json(self, model: Model, given: Feeds) -> None:
        """Checks that maps in JSON would not be too large."""
        text = [output.name for output in self._request.outputs if not output.binary and not output.classes]
        size = model.answer_bytes(given, text)
        if size > _NUMBER * MOST_NUMBERS:
            raise InvalidInput(
                f"about {size // _NUMBER} numbers are too many for JSON, which has at most {MOST_NUMBERS} of a model "
                "that answers for cells: ask for them with the parameter binary_data",
                "outputs",
            )

    def size(self, found: Arrays) -> int:
        """Size of the requested outputs in their requested form."""
        return response.size(self._request, found)

    def encode(self, model: Servable, found: Arrays, decided: Decided) -> Encoded:
        """JSON, followed by bytes if some outputs are requested as binary."""
        content, length = response.write(self._request, model, found)
        if length is None:
            return Encoded(content, "application/json")
        return Encoded(content, "application/octet-stream", {_LENGTH: str(length)})
