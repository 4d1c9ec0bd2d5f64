"""Inference of the Open Inference Protocol v2 over REST: tensors in, tensors out, as JSON or as bytes after it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from app.api.body import LARGE, LARGE_BINARY
from app.api.inference import Call, Encoded, RequestedModel, Rows
from app.api.v2 import request as requests
from app.api.v2 import response
from app.contract.decisions import Action
from app.engine.bare_model import Servable
from app.engine.job import Arrays

_LENGTH = "Inference-Header-Content-Length"


class InferCall(Call):
    """One request to infer.

    Args:
        headers: by name in lower case.
        target: the model that the path names.
        max_rows: that a request may have, where the model's rows are known.
    """

    _request: requests.Request

    def __init__(self, headers: Mapping[bytes, bytes], target: RequestedModel, max_rows: int) -> None:
        self._target = target
        self._length = headers.get(_LENGTH.lower().encode())
        self._max_rows = max_rows

    def target(self) -> RequestedModel | None:
        """The path names it."""
        return self._target

    def is_heavy(self, body: bytes, model: Servable | None) -> bool:
        """JSON and texts take longer to read than numbers as they are in memory."""
        length = self._length
        text = len(body) if length is None else int(length[:18]) if length.isdigit() else 0
        texts = model is not None and any(port.dtype == "str" for port in model.signature.inputs)
        return text > LARGE or len(body) > (LARGE if texts else LARGE_BINARY)

    def locate(self, body: bytes) -> RequestedModel:
        """As the path says."""
        return self._target

    def decode(self, body: bytes, model: Servable) -> Rows:
        """Reads the JSON, and the tensors in it or after it."""
        self._request = requests.read(body, self._length, model.signature)
        given = requests.arrays(self._request, model, self._max_rows)
        inputs: Any = [given] if model.contract is None else given[model.signature.inputs[0].name]
        return Rows(inputs, tuple(output.name for output in self._request.outputs), self._request.seconds)

    def size(self, found: Arrays) -> int:
        """Of the outputs that were asked for, in the form in which they are wanted."""
        return response.size(self._request, found)

    def encode(self, model: Servable, found: Arrays, decided: Counter[Action]) -> Encoded:
        """JSON, or where some outputs are wanted as bytes, JSON and bytes after it."""
        content, length = response.write(self._request, model, found)
        if length is None:
            return Encoded(content, "application/json")
        return Encoded(content, "application/octet-stream", {_LENGTH: str(length)})
