"""An ONNX file without a contract, for /v2 alone.

Nobody says whether its rows are independent, so a request runs by itself. To queue and batcher it is one row, which
holds all inputs by name.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.contract.signature import Port, Signature
from app.engine.model import LoadOptions, Model
from app.engine.session import Session

_log = logging.getLogger(__name__)

_SECONDS_TO_WARM_UP = 60.0

Feeds = dict[str, NDArray[Any]]


class BareSession(Session):
    """Runs one request after the other: a list of one dictionary of inputs → lists of one output each."""

    def _run(self, inputs: Any, outputs: Sequence[str], options: onnxruntime.RunOptions | None) -> dict[str, Any]:
        (feeds,) = inputs
        found = self._session.run(list(outputs), feeds, options)
        return {name: [values] for name, values in zip(outputs, found)}


class BareModel:
    """Such a file, loaded. Its first run is tried, but tells nothing when it fails: who knows what it takes.

    Args:
        sessions: one for each device.
    """

    contract = None
    batchable = False
    checked_inputs = False
    finite_outputs = False
    inline_max_rows = 0
    monitored_outputs: tuple[str, ...] = ()

    def __init__(self, name: str, version: int, signature: Signature, sessions: Sequence[BareSession]) -> None:
        self.name = name
        self.version = version
        self.signature = signature
        self.sessions = tuple(sessions)
        self._feeds = {port.name: _smallest(port) for port in signature.inputs}
        self._runs = True
        for index, session in enumerate(self.sessions):
            try:
                self.probe(index)
            except Exception as error:  # see Session
                self._runs = False
                _log.warning("%s:%d: a run with zeros fails: %s", name, version, error)
            session.check_provider()

    def probe(self, index: int) -> None:
        """Runs zeros as the warm-up did, on one of the devices, if they ran then."""
        if self._runs:
            self.sessions[index].run([self._feeds], [self.signature.outputs[0].name], _SECONDS_TO_WARM_UP)


Servable = Model | BareModel
"""A model in memory."""


def load_bare(name: str, version: int, signature: Signature, content: bytes, options: LoadOptions) -> BareModel:
    """A model from the bytes of a file without a contract, on every device of the kind.

    Raises:
        ModelRejected, StartError: see Session.
    """
    device = options.device
    sessions = [BareSession(content, device, options.threads, index) for index in range(device.count)]
    return BareModel(name, version, signature, sessions)


def _smallest(port: Port) -> NDArray[Any]:
    """Zeros, or empty texts, of size 1 wherever the size is open."""
    shape = [size if isinstance(size, int) else 1 for size in port.sizes]
    if port.dtype == "str":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=port.dtype)
