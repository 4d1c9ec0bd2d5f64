"""The service on devices that hang, whenever a file names them.

HANG_FILE holds the names of the threads whose runs hang while the file exists. HANG_DEVICES is a number of devices,
whose sessions are then bound to memory, as on GPUs. With HANG_FOR_EVER=1 a run hangs in native code and never comes
back.
"""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnxruntime

from app import __main__
from app.contract.schema import Contract
from app.engine.device import Device
from app.engine.io_binding import IOBindingSession
from app.engine.model import LoadOptions, Model

FILE = Path(os.environ["HANG_FILE"])
DEVICES = int(os.environ.get("HANG_DEVICES", "0"))
FOR_EVER = os.environ.get("HANG_FOR_EVER") == "1"


def hanging(run: Callable[..., Any]) -> Callable[..., Any]:
    def run_or_hang(*arguments: Any) -> Any:
        while FILE.exists() and threading.current_thread().name in FILE.read_text().split():
            if FOR_EVER:
                mutex = ctypes.create_string_buffer(64)  # zeros, as PTHREAD_MUTEX_INITIALIZER
                ctypes.CDLL(None).pthread_mutex_lock(mutex)
                ctypes.CDLL(None).pthread_mutex_lock(mutex)  # goes on after a signal, unlike sleep
            time.sleep(0.02)
        return run(*arguments)

    return run_or_hang


def load_bound(name: str, version: int, contract: Contract, content: bytes, options: LoadOptions) -> Model:
    sessions = [IOBindingSession(content, options.device, contract, 4) for _ in range(DEVICES)]
    return Model(name, version, contract, sessions, options.policies)


for method in ("run", "run_with_iobinding"):
    setattr(onnxruntime.InferenceSession, method, hanging(getattr(onnxruntime.InferenceSession, method)))
if DEVICES:
    patch("app.engine.loader.load", load_bound).start()
    patch("app.service.choose", lambda *_: Device("cpu", "cpu", "for a test", DEVICES)).start()
if __name__ == "__main__":
    sys.exit(__main__.main())
