"""Runs exported models in onnxruntime, on a GPU if there is one. No torch here."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from app.contract import schema
from models.data.dataset import Lazy

Name = TypeVar("Name", bound=str)
Inputs = NDArray[Any] | Lazy | Mapping[str, NDArray[Any] | Lazy]
"""Rows [B, …] of the only input, or of each input by its name."""

ROWS_AT_ONCE = 256
"""Rows of one run, unless their outputs are large."""
_SECONDS_A_TURN = 0.02  # a batch of microseconds is repeated, or the clock and the first run would decide
_SECONDS_TO_CALM = 0.005  # the threads of the session before stop waiting for work in a loop
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_DRIVERS = (Path("/proc/driver/nvidia"), Path("/dev/nvidiactl"), Path("/dev/dxg"))  # the last one under WSL

threads = 0
"""Threads of a session on the CPU; 0 means one for each core. Set it when several processes share the cores."""

_log = logging.getLogger(__name__)


@contextmanager
def one_thread() -> Iterator[None]:
    """Within this context, new sessions on the CPU have one thread."""
    global threads
    before, threads = threads, 1
    try:
        yield
    finally:
        threads = before


class DeviceUnavailable(ValueError):
    """onnxruntime cannot run a model on the requested device."""


def session(model: onnx.ModelProto, device: str = "cpu") -> onnxruntime.InferenceSession:
    """A session of onnxruntime on a device, `cpu` or `cuda`, with `threads` threads.

    Raises:
        DeviceUnavailable: onnxruntime does not run it there.
    """
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise DeviceUnavailable(f"onnxruntime has no {provider} here")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    options.intra_op_num_threads = threads
    # TF32 keeps 10 bits of a product's operands: no plan would agree with torch
    settings = [{"use_tf32": "0"}] if device == "cuda" else None
    # one provider, so that nothing falls back to the CPU without a word
    made = onnxruntime.InferenceSession(model.SerializeToString(), options, [provider], settings)
    # onnxruntime that cannot load CUDA's libraries logs it and makes a session on the CPU
    if made.get_providers()[0] != provider:
        raise DeviceUnavailable(f"onnxruntime cannot use its {provider} here")
    return made


def where(model: onnx.ModelProto) -> str:
    """The fastest device for a model on this machine: `cuda` if onnxruntime can create a session there, else `cpu`."""
    if not _has_gpu():
        return "cpu"
    try:
        # tried and not asked: providers are listed by how onnxruntime was built, not by what this machine has
        session(model, "cuda")
    except Exception as error:  # onnxruntime raises several kinds
        _tell(f"runs on the CPU: there is a GPU, but {' '.join(str(error).split())}")
        return "cpu"
    _tell("runs on the GPU")
    return "cuda"


def served(model: onnx.ModelProto, plans: Mapping[str, tuple[onnx.ModelProto, schema.Contract]]) -> onnx.ModelProto:
    """What the service runs on this machine's fastest device: a plan (see `read_plans`), or the model itself."""
    device = where(model)
    return plans[device][0] if device in plans else model


@cache
def _has_gpu() -> bool:
    """Whether onnxruntime supports GPUs and there is a driver: onnxruntime-gpu lists CUDA on machines without, too."""
    return _PROVIDERS["cuda"] in onnxruntime.get_available_providers() and any(path.exists() for path in _DRIVERS)


@cache
def _tell(text: str) -> None:
    """Logs a message once in a process."""
    _log.info("%s", text)


def race(
    sessions: Mapping[Name, onnxruntime.InferenceSession],
    inputs: Inputs,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, list[float]]:
    """Seconds that each session takes for the predictions of a batch, by round; in each round the sessions take
    turns. With sessions of one thread the clock may be `time.thread_time`, which other work does not disturb."""
    times: dict[Name, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 1):
        for name, made in sessions.items():
            feed, outputs = _by_name(made, inputs), _predictions(made)
            repeats = max(1, int(_SECONDS_A_TURN / times[name][-1])) if times[name] else 1
            if repeats > 1:
                time.sleep(_SECONDS_TO_CALM)
                made.run(outputs, feed)
            start = clock()
            for _repeat in range(repeats):
                made.run(outputs, feed)
            times[name].append((clock() - start) / repeats)
    return {name: values[1:] for name, values in times.items()}  # the first one warms up


def run(model: onnx.ModelProto, inputs: Inputs, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The requested outputs for all rows, through onnxruntime, on a GPU if it can use one."""
    return run_session(session(model, where(model)), inputs, outputs)


def run_session(
    session: onnxruntime.InferenceSession, inputs: Inputs, outputs: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """The requested outputs for all rows, a few of which are read at a time."""
    parts = [found.values() for _, found in run_in_parts(session, inputs, outputs)]
    return {output: np.concatenate(columns) for output, columns in zip(outputs, zip(*parts))}


def run_in_parts(
    session: onnxruntime.InferenceSession, inputs: Inputs, outputs: Sequence[str], rows_at_once: int = ROWS_AT_ONCE
) -> Iterator[tuple[slice, dict[str, NDArray[Any]]]]:
    """Which rows, and the requested outputs for them, a few rows after the other."""
    named = _by_name(session, inputs)
    for first in range(0, len(next(iter(named.values()))), rows_at_once):
        rows = slice(first, first + rows_at_once)
        found = session.run(list(outputs), {name: array[rows] for name, array in named.items()})
        yield rows, dict(zip(outputs, found))


def _by_name(session: onnxruntime.InferenceSession, inputs: Any) -> Mapping[str, Any]:
    return inputs if isinstance(inputs, Mapping) else {session.get_inputs()[0].name: inputs}


def _predictions(session: onnxruntime.InferenceSession) -> list[str]:
    """The output `prediction` of each head."""
    return [one.name for one in session.get_outputs() if one.name.rpartition(".")[2] == "prediction"]
