"""The exported file: its contract, its temperature, and its place in a model repository. No torch here."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from app.contract import schema
from app.contract.head import Head
from app.contract.reader import read as read_contract
from app.contract.repository import (
    DEVICES,
    METADATA_KEY,
    MODEL_FILE,
    check_name,
    list_versions,
    model_path,
    parse_version,
    plan_path,
)

REPOSITORY = Path(__file__).parent / "repository"
"""The model repository that comes with the project, and the default target of exports."""


class ArtefactError(ValueError):
    """A file in the model repository is missing or is not an artefact of this project."""


def read(repository: Path, name: str, version: int | None = None) -> tuple[onnx.ModelProto, schema.Contract, int]:
    """An artefact, its contract and its version; without a version the highest.

    Raises:
        ArtefactError: no such model or version, or the file is no artefact.
        ContractError: its contract is not readable.
    """
    check_name(name)
    if version is None:
        found = list_versions(repository, name)
        if not found:
            raise ArtefactError(f"{repository} holds no model {name!r}")
        version = found[-1]
    return *_read(model_path(repository, name, version)), version


def embed(model: onnx.ModelProto, contract: schema.Contract) -> None:
    """Writes the contract into the file's metadata, in place of any other metadata, and in today's schema version.

    Raises:
        ArtefactError: reading it back would give another contract.
    """
    contract = contract.model_copy(update={"schema_version": schema.SCHEMA_VERSION})
    text = contract.model_dump_json(exclude_none=True)
    # a contract that the service would read otherwise must not be published
    if read_contract(text) != contract:
        raise ArtefactError("the contract changes when it is written and read")
    # the old contract, where a file is calibrated anew
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=text)


def set_temperature(model: onnx.ModelProto, head: Head, temperature: float) -> float:
    """Sets the temperature of a head and returns it as float32 holds it.

    Raises:
        ArtefactError: the graph has no temperature for it.
    """
    for tensor in model.graph.initializer:
        if tensor.name == head.temperature_name:
            # calibration goes on with the float32 value, so that its figures are those of the file
            value = np.array(temperature, dtype=np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
            return float(value)
    raise ArtefactError(f"the graph has no initializer named {head.temperature_name!r}")


def read_plans(repository: Path, name: str, version: int) -> dict[str, tuple[onnx.ModelProto, schema.Contract]]:
    """A version's plans for single devices, with their contracts, by device.

    Raises:
        ArtefactError: one of them is no artefact.
        ContractError: its contract is not readable.
    """
    paths = {device: plan_path(repository, name, version, device) for device in DEVICES}
    return {device: _read(path) for device, path in paths.items() if path.exists()}


def write(
    model: onnx.ModelProto,
    repository: Path,
    name: str,
    version: int | None = None,
    plans: Mapping[str, onnx.ModelProto] | None = None,
) -> Path:
    """Writes the next version of a model, or the requested one, and returns the file's path.

    The plans, by device, become files in the same folder.

    The folder is filled elsewhere in the repository and renamed into place as the last step, so a reader sees all of it
    or nothing, and an existing version is never touched.

    Raises:
        FileExistsError: the version exists.
        ValueError: `name` is no model name, or the version is not positive.
    """
    check_name(name)
    if version is not None:
        parse_version(str(version))
    repository.mkdir(parents=True, exist_ok=True)
    # inside the repository: a rename is atomic within one file system only
    staging = Path(tempfile.mkdtemp(prefix=".writing-", dir=repository))
    try:
        staging.chmod(0o755)  # mkdtemp's 0700, or a strict umask, would lock out the service's own user
        files = {MODEL_FILE: model}
        files |= {plan_path(repository, name, 1, device).name: plan for device, plan in (plans or {}).items()}
        for file_name, content in files.items():
            with (staging / file_name).open("wb") as file:
                file.write(content.SerializeToString(deterministic=True))  # equal models, equal bytes
                file.flush()
                # else a crash may leave a published folder with an empty file in it
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o644)
        return _publish(staging, repository, name, version)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def slim(model: onnx.ModelProto) -> None:
    """Drops the exporter's debugging notes: stack traces, types of inner values, doc strings."""
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


def _publish(staging: Path, repository: Path, name: str, version: int | None) -> Path:
    if not (repository / name).exists():
        (repository / name).mkdir(exist_ok=True)
        # whatever the umask: the service runs as a user of its own
        (repository / name).chmod(0o755)
    wanted = version if version is not None else max(list_versions(repository, name), default=0) + 1
    target = model_path(repository, name, wanted).parent
    if target.exists():
        raise FileExistsError(f"{target} exists: versions are never overwritten")
    try:
        # atomic, and fails where another writer was first
        staging.rename(target)
    except OSError as error:
        if not target.exists():
            raise
        raise FileExistsError(f"{target} exists: versions are never overwritten") from error
    return target / MODEL_FILE
