"""One ONNX graph in onnxruntime on one device."""

import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.engine.device import Device
from app.errors import ModelRefused, StartError

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_CUDA_OPTIONS = {
    "cudnn_conv_algo_search": "HEURISTIC",  # the default searches anew for every batch size
    "arena_extend_strategy": "kSameAsRequested",
    "use_tf32": "0",  # a GPU answers what a CPU answers
}


class Session:
    """Runs a graph given as bytes.

    Raises:
        ModelRefused: onnxruntime cannot load it.
        StartError: onnxruntime loads it on another device than was chosen.
    """

    def __init__(self, content: bytes, device: Device) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = _cores() if device.name == "cpu" else 1
        providers: list[Any] = [_PROVIDERS["cpu"]]
        if device.name == "cuda":
            providers.insert(0, (_PROVIDERS["cuda"], _CUDA_OPTIONS))
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:  # onnxruntime raises a dozen kinds, none of them documented
            raise ModelRefused(f"onnxruntime cannot load it: {error}") from error
        self._session.disable_fallback()
        self.provider: str = self._session.get_providers()[0]
        if self.provider != _PROVIDERS[device.name]:
            raise StartError(
                f"chosen to run on {device.name}, but onnxruntime took its {self.provider}; "
                "MASKSEMBLES_DEVICE=cpu starts without a GPU"
            )
        self._input = self._session.get_inputs()[0].name

    def run(
        self, inputs: NDArray[Any], outputs: Sequence[str], seconds: float | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Inputs [B, …] → the asked outputs by name; ends with onnxruntime's error after so many seconds."""
        if seconds is None:
            return dict(zip(outputs, self._session.run(list(outputs), {self._input: inputs})))
        options = onnxruntime.RunOptions()
        timer = threading.Timer(seconds, setattr, (options, "terminate", True))
        timer.start()
        try:
            return dict(zip(outputs, self._session.run(list(outputs), {self._input: inputs}, options)))
        finally:
            timer.cancel()


def _cores() -> int:
    """The cores that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
