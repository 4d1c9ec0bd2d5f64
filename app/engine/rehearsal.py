"""Loads a file in the verifier's child just as the service will: what that takes shows where it can do no harm.

A few bytes may ask for gigabytes or for ever: constants that are folded when the session opens, functions that call
others twice each, a loop in the first run.
"""

from typing import Literal

from app.contract.schema import Contract
from app.contract.signature import Signature
from app.engine.bare_model import BareModel, BareSession
from app.engine.device import Device
from app.engine.model import Model
from app.engine.session import Session, is_out_of_memory
from app.failures import ModelRejected

_CPU = Device("cpu", "cpu", "to verify a file")


def rehearse(content: bytes, declared: Contract | Signature, device: Literal["cpu", "cuda"]) -> None:
    """Opens a session on the CPU, and runs it as the warm-up does if that is where the service will.

    Raises:
        ModelRejected: it cannot be loaded; for `cuda`, only if the memory did not suffice.
    """
    if device == "cuda":
        try:
            Session(content, _CPU)  # constants are folded on the CPU for any device
        except ModelRejected as error:
            if is_out_of_memory(error):
                raise  # anything else may well work on the device
    elif isinstance(declared, Signature):
        BareModel("rehearsed", 1, declared, [BareSession(content, _CPU)])
    else:
        Model("rehearsed", 1, declared, [Session(content, _CPU, free=bool(declared.axes))])
