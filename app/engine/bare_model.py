"""An ONNX file without a contract, served through /v2 alone.

Nothing says whether its rows are independent, so each request runs by itself. To the queue and the batcher its
inputs are one row.
"""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.contract.signature import Port, Signature
from app.engine.model import LoadOptions, Model
from app.engine.row_shapes import Feeds
from app.engine.session import Session
from app.failures import DeviceOutOfMemory, ModelRejected

_log = logging.getLogger(__name__)

_SECONDS_TO_WARM_UP = 60.0  # a graph may loop for ever


class BareSession(Session):
    """Runs one request at a time, since nothing says along which axis to join two: inputs → lists with one output."""

    def _run(self, inputs: Feeds, outputs: Sequence[str], options: onnxruntime.RunOptions | None) -> dict[str, Any]:
        return {name: [values] for name, values in super()._run(inputs, outputs, options).items()}


class BareModel:
    """A file without a contract, loaded. A failed first run does not reject it: zeros may be no valid input.

    Args:
        sessions: one per device.

    Raises:
        ModelRejected: there is no memory for the first run.
        StartError: onnxruntime left the chosen device.
    """

    contract = None
    batchable = False
    shapes = None
    most_values = None
    checked_inputs = False  # only against the signature: a run that fails may be the client's fault
    finite_outputs = False  # NaN goes out as bytes; only JSON cannot carry it
    inline_max_rows = 0  # never in the event loop: nobody knows how long a run takes
    monitored_outputs: tuple[str, ...] = ()

    def __init__(self, name: str, version: int, signature: Signature, sessions: Sequence[BareSession]) -> None:
        self.name = name
        self.version = version
        self.signature = signature
        self.sessions = tuple(sessions)
        self._feeds: Feeds = {port.name: _smallest(port) for port in signature.inputs}
        self._runs = True
        for index, session in enumerate(self.sessions):
            try:
                self.probe(index)
            except DeviceOutOfMemory as error:
                raise ModelRejected("its first run fails: no memory") from error
            except Exception as error:  # see Session
                self._runs = False
                _log.warning("%s:%d: a run with zeros fails: %s", name, version, error)
            session.check_provider()  # the first run may have moved the session to the CPU

    def probe(self, index: int) -> None:
        """Runs zeros on one of the devices as the warm-up did, if they ran then."""
        if self._runs:
            self.sessions[index].run(self._feeds, [self.signature.outputs[0].name], _SECONDS_TO_WARM_UP)


Servable = Model | BareModel
"""A model in memory."""


def load_bare(name: str, version: int, signature: Signature, content: bytes, options: LoadOptions) -> BareModel:
    """Loads a file without a contract from its bytes, on every device of the chosen kind.

    Raises:
        ModelRejected, StartError: see Session.
    """
    device = options.device
    sessions = [BareSession(content, device, options.threads, index) for index in range(device.count)]
    return BareModel(name, version, signature, sessions)


def _smallest(port: Port) -> NDArray[Any]:
    """Zeros, or empty texts, with size 1 on every open axis."""
    shape = [size if isinstance(size, int) else 1 for size in port.sizes]
    if port.dtype == "str":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=port.dtype)
