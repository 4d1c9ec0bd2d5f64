"""/predict as a protocol: JSON, arrays or images in, predictions as JSON, arrays or a picture out."""

from collections.abc import Mapping
from typing import cast

from app.api.body import LARGE
from app.api.inference import Call, Encoded, RequestedModel, Rows
from app.api.predict import content_types, maps, outputs, response
from app.api.predict.content_types import Inputs
from app.api.predict.input_rows import InputRows
from app.api.predict.maps import MapForm
from app.api.predict.params import PredictParams
from app.api.predict.response import Wanted
from app.contract.decisions import Decided
from app.engine.bare_model import Servable
from app.engine.job import Arrays
from app.engine.model import Model
from app.errors import InvalidInput
from app.feedback.receipt import Receipts

_TEXT = 2  # a number takes about twice as long to write inside a row's dictionary as in a flat list

_RECEIPT = 400  # to sign one takes as long as to write so many bytes


class PredictCall(Call):
    """One request to /predict.

    Args:
        headers: by name in lower case.
        query: the query string.
        limits: most rows in a request, and most bytes of a body, decompressed.
        receipts: issues receipts; without it there are none.

    Raises:
        UnsupportedMediaType: /predict does not read this content type.
    """

    _params: PredictParams
    _read: Inputs
    _wanted: Wanted

    def __init__(
        self, headers: Mapping[bytes, bytes], query: bytes, limits: tuple[int, int], receipts: Receipts | None = None
    ) -> None:
        self._content_type = headers.get(b"content-type", b"").decode("latin-1")
        self._kind = content_types.kind_of(self._content_type)
        self._query = query
        self._limits = limits
        self._receipts = receipts
        self._accept = headers.get(b"accept", b"")
        self._media_type = response.media_type(self._accept)

    def target(self) -> RequestedModel | None:
        """None: the body names the model, or the query, which is read with the body."""
        return None

    def is_heavy(self, body: bytes, model: Servable | None) -> bool:
        """Depends on content type and size."""
        return content_types.is_heavy(self._kind, len(body))

    def locate(self, body: bytes) -> RequestedModel:
        """Reads everything but the inputs."""
        self._params, self._read = content_types.read(self._kind, self._content_type, body, self._query, self._limits)
        return RequestedModel(self._params.model, self._params.version)

    def decode(self, body: bytes, model: Servable) -> Rows:
        """Reads the inputs."""
        if not isinstance(model, Model):
            raise InvalidInput(f"{model.name} has no contract, hence no uncertainty: /v2 alone serves it", "model")
        asked = self._params
        selections = outputs.choose(asked, model)
        if self._receipts is None and response.receipts_in(selections):
            raise InvalidInput("there are no receipts without MASKSEMBLES_FEEDBACK_SECRET", "outputs")
        form = MapForm(asked.colormap, asked.bits)
        form.check()
        rows = InputRows(model.contract, self._limits[0])
        self._read(rows)
        inputs = rows.whole()
        in_pictures = asked.maps is not None
        # a browser that prefers pictures takes anything
        if self._media_type == response.PNG and not maps.is_one(selections) and response.also_json(self._accept):
            self._media_type = response.JSON
        self._wanted = Wanted(asked.id, selections, self._media_type, form, in_pictures, rows.sizes, self._receipts)
        if self._wanted.media_type == response.PNG:
            maps.check_picture(selections, rows.sizes)
        if self._wanted.media_type == response.PNG or (self._wanted.media_type == response.JSON and in_pictures):
            maps.check_pictures(model, selections)
        elif self._wanted.media_type == response.JSON:
            maps.check_size(model, selections, rows.sizes)
        needed = [name for selection in selections for name in selection.needed]
        for selection in selections:
            if self._receipts is not None and "receipt" in selection.chosen:
                needed += [name for name in self._receipts.also_needed(selection.head) if name not in needed]
        del self._params, self._read  # they hold the body, and the rows may wait for seconds
        return Rows(inputs, tuple(needed))

    def size(self, found: Arrays) -> int:
        """Size of the graph's outputs, weighted by the cost of JSON; a picture takes long whatever its size."""
        size = _TEXT * sum([values.nbytes for values in found.values()])
        size += _RECEIPT * self._wanted.sizes["B"] * response.receipts_in(self._wanted.selections)
        pictures = self._media_type == response.PNG or self._wanted.in_pictures
        return max(size, LARGE + 1) if pictures else size

    def encode(self, model: Servable, found: Arrays, decided: Decided) -> Encoded:
        """JSON, or arrays or a picture where the client prefers them."""
        wanted, served = self._wanted, cast(Model, model)
        headers: dict[str, str] = {}
        match self._media_type:
            case response.NPZ:
                content = response.write_npz(wanted, served, found, decided)
                headers = {"Content-Disposition": 'attachment; filename="predictions.npz"'}  # or /docs shows a text
            case response.PNG:
                content, headers = response.write_png(wanted, served, found)
            case _:
                content = response.write_json(wanted, served, found, decided)
        return Encoded(content, self._media_type, headers, vary="Accept, Accept-Encoding")
