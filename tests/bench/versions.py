"""Versions of the shipped models that differ in their numbers, and what onnxruntime computes for each.

A version is one of three variants: as shipped, recalibrated (another temperature), and with other weights. They take
turns, so the number of a version says which numbers are right.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from app.contract.schema import Contract
from models import artefact
from models.data import load
from tests.pictures import digits, pictures

NAMES = ("fashion-mnist", "digits", "diabetes")
"""Images with a plan beside the file, small images, and a regressor."""
VARIANTS = 3
_HOTTER = 1.5
_STRONGER = 1.3
_CLEAR = 1e-3  # between the two most probable classes, or another batch size might answer with the other one
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Expected:
    """Rows of a model's input [B, …], and each variant's outputs for all of them by name."""

    rows: NDArray[np.float32]
    outputs: list[Arrays]

    def of(self, version: int) -> Arrays:
        """The outputs of a version."""
        return self.outputs[variant(version)]


def variant(version: int) -> int:
    """Which variant a version is."""
    return (version - 1) % VARIANTS


def prepare(folder: Path) -> None:
    """Writes the variants of all models to the folder, as versions 1 to 3 of a model repository, and their answers."""
    for name in NAMES:
        model, contract, version = artefact.read(artefact.REPOSITORY, name)
        plans = artefact.read_plans(artefact.REPOSITORY, name, version)
        sessions = []
        for number in range(1, VARIANTS + 1):
            _vary(model, contract, number)
            for plan, planned in plans.values():
                _vary(plan, planned, number)
            written = {device: plan for device, (plan, _) in plans.items()}
            path = artefact.write(model, folder / "variants", name, number, written)
            sessions.append(onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]))
        _write_expected(folder / f"{name}.npz", _rows(name), sessions)


def read(folder: Path, name: str) -> Expected:
    """What `prepare` wrote there about a model."""
    with np.load(folder / f"{name}.npz") as found:
        outputs: list[Arrays] = [{} for _ in range(VARIANTS)]
        for key in found.files:
            if key != "rows":
                number, _, output = key.partition(".")
                outputs[int(number)][output] = found[key]
        return Expected(found["rows"], outputs)


def _vary(model: onnx.ModelProto, contract: Contract, number: int) -> None:
    """Makes a variant of the one before."""
    head = contract.head
    calibration = head.calibration
    if variant(number) == 0 or calibration is None:
        return
    if variant(number) == 1:
        hotter = artefact.set_temperature(model, head, calibration.temperature * _HOTTER)
        changed = calibration.model_copy(update={"temperature": hotter})
        artefact.embed(model, contract.with_head(head, calibration=changed))
        return
    # of the first layer, before any mask: plans have the others in parts
    first = next(tensor for tensor in model.graph.initializer if len(tensor.dims) > 1)
    values = onnx.numpy_helper.to_array(first) * np.float32(_STRONGER)
    first.CopyFrom(onnx.numpy_helper.from_array(values, first.name))


def _rows(name: str) -> NDArray[np.float32]:
    if name == "fashion-mnist":
        return pictures().inputs
    return digits() if name == "digits" else np.asarray(load(name).test.inputs, np.float32)


def _write_expected(path: Path, rows: NDArray[np.float32], sessions: list[onnxruntime.InferenceSession]) -> None:
    names = [output.name for output in sessions[0].get_outputs()]
    outputs: list[Arrays] = [dict(zip(names, session.run(None, {"input": rows}))) for session in sessions]
    clear = np.ones(len(rows), bool)
    for found in outputs:
        for name in ("probabilities", "submodels"):
            if "probabilities" in found:
                first, second = np.sort(found[name], axis=-1)[..., -1], np.sort(found[name], axis=-1)[..., -2]
                clear &= (first - second > _CLEAR).reshape(len(rows), -1).all(axis=1)
    kept: dict[str, Any] = {
        f"{at}.{name}": values[clear] for at, found in enumerate(outputs) for name, values in found.items()
    }
    np.savez(path, rows=rows[clear], **kept)
