"""A user's own labelled data in one .npz file, to calibrate and evaluate a network with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.tasks import TaskName
from models.data.dataset import Dataset, DatasetError, Split

_ARRAYS = ("inputs", "labels", "classes", "targets", "units")


def npz(path: Path) -> Dataset:
    """Reads `inputs` [B, …] and `labels`: integers [B] for classes; booleans, or integers 0 and 1, [B, K] for labels
    that are each on or off; or floating-point numbers [B] or [B, D] for the values that a regressor predicts. Optional:
    `classes` [K], the names of classes or labels in order; `targets` and `units` [D], the names and units of the
    values, else empty.

    Each of the three splits holds all rows: a file is one split, and the caller knows which.

    Raises:
        DatasetError: missing, not an .npz file, an array missing or of the wrong kind.
    """
    try:
        # no pickles, which could run code
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in _ARRAYS if name in arrays}
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except Exception as error:  # NumPy, zipfile and zlib raise a dozen kinds over a file that is something else
        raise DatasetError(f"{path}: not a readable .npz file of plain arrays ({error})") from error
    if missing := {"inputs", "labels"} - found.keys():
        raise DatasetError(f"{path}: lacks the array {', '.join(sorted(missing))}")
    inputs = found["inputs"]
    if inputs.dtype != np.uint8:
        if inputs.dtype.kind not in "fiu":
            raise DatasetError(f"{path}: expected inputs to be numbers, got {inputs.dtype}")
        inputs = inputs.astype(np.float32)
    task = _task(found["labels"])
    labels = _READERS[task](path, found["labels"], inputs.shape[:1])
    split = Split(inputs, labels)
    return Dataset(
        name=path.stem,
        classes=_classes(path, found),
        train=split,
        calibration=split,
        test=split,
        value_range=None,
        unit="as given",
        layout="",
        targets=_targets(path, found, labels.shape[1]) if task == "regression" else (),
        task=task,
    )


def _classes(path: Path, found: dict[str, NDArray[Any]]) -> tuple[str, ...]:
    names = found.get("classes", np.array([], str))
    if names.ndim != 1:
        raise DatasetError(f"{path}: expected classes to name each class [K], got {list(names.shape)}")
    return tuple(str(name) for name in names)


def _task(labels: NDArray[Any]) -> TaskName:
    """What labels of this dtype and rank are an answer to."""
    if labels.dtype.kind == "f":
        return "regression"
    return "multilabel" if labels.ndim == 2 and labels.dtype.kind in "biu" else "classification"


def _on_or_off(path: Path, labels: NDArray[Any], rows: tuple[int, ...]) -> NDArray[Any]:
    if labels.shape[:1] != rows or not labels.size:
        raise DatasetError(
            f"{path}: expected labels [B, K] of the {rows[0]} inputs, got {labels.dtype} {list(labels.shape)}"
        )
    wrong = ((labels != 0) & (labels != 1)).any(axis=1)
    if wrong.any():
        raise DatasetError(
            f"{path}: labels[{wrong.argmax()}]: expected 0 or 1 for each label of a row, or, as [B], one class index "
            f"for each row, got {labels[wrong.argmax()]}"
        )
    return np.asarray(labels == 1)


def _indices(path: Path, labels: NDArray[Any], rows: tuple[int, ...]) -> NDArray[Any]:
    if labels.dtype.kind not in "iu" or labels.shape != rows or not len(labels) or labels.min() < 0:
        raise DatasetError(
            f"{path}: expected labels to hold one class index, 0 or more, for each of the {rows[0]} inputs, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    return labels.astype(np.int64)


def _values(path: Path, labels: NDArray[Any], rows: tuple[int, ...]) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # beyond float32 is ∞, and is refused below
        values = (labels[:, None] if labels.ndim == 1 else labels).astype(np.float32)
    if values.ndim != 2 or values.shape[:1] != rows or not values.size:
        raise DatasetError(
            f"{path}: expected labels to hold values [B] or [B, D] for the {rows[0]} inputs, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        raise DatasetError(
            f"{path}: labels[{wrong.argmax()}]: expected finite values that fit float32, got {labels[wrong.argmax()]}"
        )
    return values


_READERS: dict[TaskName, Callable[[Path, NDArray[Any], tuple[int, ...]], NDArray[Any]]] = {
    "classification": _indices,
    "multilabel": _on_or_off,
    "regression": _values,
}


def _targets(path: Path, found: dict[str, NDArray[Any]], count: int) -> tuple[tuple[str, str], ...]:
    names, units = (found.get(name, np.full(count, "")) for name in ("targets", "units"))
    for name, array in (("targets", names), ("units", units)):
        if array.shape != (count,):
            raise DatasetError(f"{path}: expected {name} to name each of the {count} values, got {array.shape}")
    return tuple((str(name), str(unit)) for name, unit in zip(names, units))
