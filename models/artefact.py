"""The exported file: its contract, its temperature, running it, and its place in a store. No torch here."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from app.contract import schema
from app.contract.reader import read as read_contract
from app.contract.repository import (
    DEVICES,
    METADATA_KEY,
    MODEL_FILE,
    TEMPERATURE,
    check_name,
    list_versions,
    model_path,
    parse_version,
    plan_path,
)
from models.data.dataset import Lazy

REPOSITORY = Path(__file__).parent / "repository"
"""The shipped store, where exports go unless another is named."""

Name = TypeVar("Name", bound=str)

_ROWS_AT_ONCE = 256
_SECONDS_A_TURN = 0.02
_SECONDS_TO_CALM = 0.005  # the threads of the session before stop waiting for work in a loop
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_DRIVERS = (Path("/proc/driver/nvidia"), Path("/dev/nvidiactl"), Path("/dev/dxg"))  # the last one under WSL

threads = 0
"""Of a session on the CPU; 0 for as many as there are cores. Set where several processes share them."""

_log = logging.getLogger(__name__)


class ArtefactError(ValueError):
    """A file in the store is missing or is not an artefact of this project."""


def read(store: Path, name: str, version: int | None = None) -> tuple[onnx.ModelProto, schema.Contract, int]:
    """An artefact, its contract and its version; without a version the highest.

    Raises:
        ArtefactError: no such model or version, or the file is no artefact.
        ContractError: its contract is not readable.
    """
    check_name(name)
    if version is None:
        found = list_versions(store, name)
        if not found:
            raise ArtefactError(f"{store} holds no model {name!r}")
        version = found[-1]
    return *_read(model_path(store, name, version)), version


def embed(model: onnx.ModelProto, contract: schema.Contract) -> None:
    """Writes the contract into the file's metadata, in place of any other metadata.

    Raises:
        ArtefactError: it would not be read as it is.
    """
    text = contract.model_dump_json(exclude_none=True)
    if read_contract(text) != contract:
        raise ArtefactError("the contract changes when it is written and read")
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=text)


def set_temperature(model: onnx.ModelProto, temperature: float) -> float:
    """Sets the temperature and returns it as float32 holds it.

    Raises:
        ArtefactError: the graph has no temperature.
    """
    for tensor in model.graph.initializer:
        if tensor.name == TEMPERATURE:
            value = np.array(temperature, dtype=np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, TEMPERATURE))
            return float(value)
    raise ArtefactError(f"the graph has no initializer named {TEMPERATURE!r}")


def session(model: onnx.ModelProto, device: str = "cpu") -> onnxruntime.InferenceSession:
    """A session of onnxruntime on a device, `cpu` or `cuda`, with `threads` threads.

    Raises:
        ArtefactError: onnxruntime does not run it there.
    """
    provider = _PROVIDERS[device]
    if provider not in onnxruntime.get_available_providers():
        raise ArtefactError(f"onnxruntime has no {provider} here")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    settings = [{"use_tf32": "0"}] if device == "cuda" else None
    made = onnxruntime.InferenceSession(model.SerializeToString(), options, [provider], settings)
    if made.get_providers()[0] != provider:
        raise ArtefactError(f"onnxruntime cannot use its {provider} here")
    return made


def where(model: onnx.ModelProto) -> str:
    """The device that a model runs on fastest here: `cuda` where onnxruntime makes a session of it there, or `cpu`."""
    if not _has_gpu():
        return "cpu"
    try:
        session(model, "cuda")
    except Exception as error:  # onnxruntime raises several kinds
        _tell(f"runs on the CPU: there is a GPU, but {' '.join(str(error).split())}")
        return "cpu"
    _tell("runs on the GPU")
    return "cuda"


def served(model: onnx.ModelProto, plans: Mapping[str, tuple[onnx.ModelProto, schema.Contract]]) -> onnx.ModelProto:
    """Of a model and its plans by device (see `read_plans`) what the service runs where the model runs fastest here."""
    device = where(model)
    return plans[device][0] if device in plans else model


@cache
def _has_gpu() -> bool:
    """Whether onnxruntime knows of GPUs and there is a driver for one: onnxruntime-gpu does on machines without."""
    return _PROVIDERS["cuda"] in onnxruntime.get_available_providers() and any(path.exists() for path in _DRIVERS)


@cache
def _tell(text: str) -> None:
    """Once in a process."""
    _log.info("%s", text)


def race(
    sessions: Mapping[Name, onnxruntime.InferenceSession], inputs: NDArray[Any], rounds: int
) -> dict[Name, list[float]]:
    """Seconds that each session takes for a batch, in each of several rounds in which they take turns."""
    times: dict[Name, list[float]] = {name: [] for name in sessions}
    for _ in range(rounds + 1):
        for name, made in sessions.items():
            feed = {made.get_inputs()[0].name: inputs}
            repeats = max(1, int(_SECONDS_A_TURN / times[name][-1])) if times[name] else 1
            if repeats > 1:
                time.sleep(_SECONDS_TO_CALM)
                made.run(["prediction"], feed)
            start = time.perf_counter()
            for _repeat in range(repeats):
                made.run(["prediction"], feed)
            times[name].append((time.perf_counter() - start) / repeats)
    return {name: values[1:] for name, values in times.items()}  # the first one warms up


def run(model: onnx.ModelProto, inputs: NDArray[Any] | Lazy, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The asked outputs for all rows, through onnxruntime, on a GPU where it can."""
    return run_session(session(model, where(model)), inputs, outputs)


def run_session(
    session: onnxruntime.InferenceSession, inputs: NDArray[Any] | Lazy, outputs: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """The asked outputs for all rows, of which few are read at a time."""
    name = session.get_inputs()[0].name
    parts = [
        session.run(list(outputs), {name: inputs[first : first + _ROWS_AT_ONCE]})
        for first in range(0, len(inputs), _ROWS_AT_ONCE)
    ]
    return {output: np.concatenate(columns) for output, columns in zip(outputs, zip(*parts))}


def read_plans(store: Path, name: str, version: int) -> dict[str, tuple[onnx.ModelProto, schema.Contract]]:
    """The plans of a version beside the portable one, with their contracts, by device.

    Raises:
        ArtefactError: one of them is no artefact.
        ContractError: its contract is not readable.
    """
    paths = {device: plan_path(store, name, version, device) for device in DEVICES}
    return {device: _read(path) for device, path in paths.items() if path.exists()}


def write(
    model: onnx.ModelProto,
    store: Path,
    name: str,
    version: int | None = None,
    plans: Mapping[str, onnx.ModelProto] | None = None,
) -> Path:
    """Writes the next version of a model, or the one asked for, and returns the file's path.

    Beside it lie the plans of devices, by name.

    The folder is filled elsewhere in the store and renamed into place as the last step, so a reader sees all of it
    or nothing, and an existing version is never touched.

    Raises:
        FileExistsError: the version exists.
        ValueError: `name` is no model name, or the version is not positive.
    """
    check_name(name)
    if version is not None:
        parse_version(str(version))
    store.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".writing-", dir=store))
    try:
        staging.chmod(0o755)  # mkdtemp's 0700, or a strict umask, would lock out the service's own user
        files = {MODEL_FILE: model}
        files |= {plan_path(store, name, 1, device).name: plan for device, plan in (plans or {}).items()}
        for file_name, content in files.items():
            with (staging / file_name).open("wb") as file:
                file.write(content.SerializeToString(deterministic=True))
                file.flush()
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o644)
        return _publish(staging, store, name, version)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def slim(model: onnx.ModelProto) -> None:
    """Drops what an exporter notes for debugging: stack traces, types of inner values, doc strings."""
    del model.graph.value_info[:]
    model.doc_string = model.graph.doc_string = ""
    parts: Iterable[Any] = [
        model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output
    ]  # fmt: skip
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""


def _read(path: Path) -> tuple[onnx.ModelProto, schema.Contract]:
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except FileNotFoundError:
        raise ArtefactError(f"{path}: no such file") from None
    except Exception as error:  # protobuf's DecodeError is no subclass of anything more telling
        raise ArtefactError(f"{path}: not an ONNX file, or truncated ({error})") from error
    texts = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    if not texts:
        raise ArtefactError(f"{path}: has no contract in its metadata (key {METADATA_KEY!r})")
    return model, read_contract(texts[0])


def _publish(staging: Path, store: Path, name: str, version: int | None) -> Path:
    if not (store / name).exists():
        (store / name).mkdir(exist_ok=True)
        (store / name).chmod(0o755)
    wanted = version if version is not None else max(list_versions(store, name), default=0) + 1
    target = model_path(store, name, wanted).parent
    if target.exists():
        raise FileExistsError(f"{target} exists: versions are never overwritten")
    try:
        staging.rename(target)
    except OSError as error:
        if not target.exists():
            raise
        raise FileExistsError(f"{target} exists: versions are never overwritten") from error
    return target / MODEL_FILE
