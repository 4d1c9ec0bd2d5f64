"""/predict as a protocol: JSON, arrays or images in, predictions as JSON or arrays out."""

from collections import Counter
from collections.abc import Mapping
from typing import cast

from app.api.inference import Call, Encoded, RequestedModel, Rows
from app.api.predict import content_types, outputs, response
from app.api.predict.content_types import Inputs
from app.api.predict.params import PredictParams
from app.api.predict.tasks.task import OutputSelection
from app.contract.decisions import Action
from app.engine.bare_model import Servable
from app.engine.job import Arrays
from app.engine.model import Model
from app.errors import InvalidInput

_TEXT = 2  # a number takes about twice as long to write inside a row's dictionary as in a flat list


class PredictCall(Call):
    """One request to /predict.

    Args:
        headers: by name in lower case.
        query: the query string.
        max_rows: most rows in a request.

    Raises:
        UnsupportedMediaType: /predict does not read this content type.
    """

    _id: str | None
    _params: PredictParams
    _read: Inputs
    _selection: OutputSelection

    def __init__(self, headers: Mapping[bytes, bytes], query: bytes, max_rows: int) -> None:
        self._content_type = headers.get(b"content-type", b"").decode("latin-1")
        self._kind = content_types.kind_of(self._content_type)
        self._query = query
        self._max_rows = max_rows
        self._npz = response.wants_npz(headers.get(b"accept", b""))

    def target(self) -> RequestedModel | None:
        """None: the body names the model, or the query, which is read with the body."""
        return None

    def is_heavy(self, body: bytes, model: Servable | None) -> bool:
        """Depends on content type and size."""
        return content_types.is_heavy(self._kind, len(body))

    def locate(self, body: bytes) -> RequestedModel:
        """Reads everything but the rows."""
        self._params, self._read = content_types.read(self._kind, self._content_type, body, self._query, self._max_rows)
        return RequestedModel(self._params.model, self._params.version)

    def decode(self, body: bytes, model: Servable) -> Rows:
        """Reads the rows."""
        if model.contract is None:
            raise InvalidInput(f"{model.name} has no contract, hence no uncertainty: /v2 alone serves it", "model")
        self._id = self._params.id
        self._selection = outputs.choose(self._params, model.contract)
        rows = Rows(self._read(model.contract), self._selection.needed)
        del self._params, self._read  # they hold the body, and the rows may wait for seconds
        return rows

    def size(self, found: Arrays) -> int:
        """Size of the graph's outputs, weighted by the cost of JSON."""
        return _TEXT * sum(values.nbytes for values in found.values())

    def encode(self, model: Servable, found: Arrays, decided: Counter[Action]) -> Encoded:
        """JSON, or arrays where the client accepts them."""
        write = response.write_npz if self._npz else response.write_json
        content = write(self._id, cast(Model, model), self._selection, found, decided)
        return Encoded(content, response.NPZ if self._npz else content_types.JSON, vary="Accept, Accept-Encoding")
