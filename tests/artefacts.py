"""Versions of a model in a repository, written and read without torch: the file with its contract inside."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from app.contract import schema
from app.contract.reader import read as read_contract
from app.contract.repository import METADATA_KEY, list_versions, model_path


def save(path: Path, model: onnx.ModelProto, contract: schema.Contract) -> Path:
    """Writes a model with its contract, of today's schema version, and with the temperatures that it declares."""
    contract = contract.model_copy(update={"schema_version": schema.SCHEMA_VERSION})
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=contract.model_dump_json(exclude_none=True))
    temperatures = {head.temperature_name: head.temperature for head in contract.heads}
    for tensor in model.graph.initializer:
        if tensor.name in temperatures:
            value = np.array(temperatures[tensor.name], np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def write(repository: Path, name: str, model: onnx.ModelProto, contract: schema.Contract) -> Path:
    """Writes the next version of a model as its portable file."""
    version = max(list_versions(repository, name), default=0) + 1
    return save(model_path(repository, name, version), model, contract)


def read(repository: Path, name: str, version: int = 1) -> tuple[onnx.ModelProto, schema.Contract]:
    """The portable file of a version and its contract."""
    return load(model_path(repository, name, version))


def load(path: Path) -> tuple[onnx.ModelProto, schema.Contract]:
    """A file and its contract."""
    model = onnx.load(path)
    (text,) = (entry.value for entry in model.metadata_props if entry.key == METADATA_KEY)
    return model, read_contract(text)


def run(model: onnx.ModelProto, inputs: NDArray[Any], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Outputs of a model for some rows, by onnxruntime alone."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(list(outputs), {model.graph.input[0].name: inputs})))
