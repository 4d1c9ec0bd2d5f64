"""A user's own labelled data in one .npz file, to calibrate and evaluate a network with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.tasks import TaskName
from models.data.dataset import Dataset, DatasetError, Split

_NAMES = ("classes", "targets", "units")
_KEPT = (np.uint8, np.int32, np.int64, np.bool_)


def npz(path: Path) -> Dataset:
    """Reads `inputs` [B, …] and `labels`: integers [B] for classes; booleans, or integers 0 and 1, [B, K] for labels
    that are each on or off; or floating-point numbers [B] or [B, D] for the values that a regressor predicts. Optional:
    `classes` [K], the names of classes or labels in order; `targets` and `units` [D], the names and units of the
    values, else empty.

    Labels of cells have their grid's axes last: integers [B, *G], where −1 is a cell that does not count, booleans
    [B, K, *G], or floating-point numbers [B, D, *G]. Instead of `inputs`, a model with several has `inputs.NAME` for
    each, and instead of `labels` one with several heads `labels.HEAD` for each.

    Inputs of floating-point numbers become float32; whole numbers and booleans stay what they are.

    Each of the three splits holds all rows: a file is one split, and the caller knows which.

    Raises:
        DatasetError: missing, not an .npz file, an array missing or of the wrong kind.
    """
    try:
        # no pickles, which could run code
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays if name.partition(".")[0] in ("inputs", "labels", *_NAMES)}
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except Exception as error:  # NumPy, zipfile and zlib raise a dozen kinds over a file that is something else
        raise DatasetError(f"{path}: not a readable .npz file of plain arrays ({error})") from error
    inputs, labels = (_family(path, found, what) for what in ("inputs", "labels"))
    given = {name: _numbers(path, name, array) for name, array in inputs.items()}
    rows = next(iter(given.values())).shape[:1]
    truth = {name: _READERS[_task(array)](path, name, array, rows) for name, array in labels.items()}
    first = next(iter(truth.values()))
    task = _task(next(iter(labels.values())))
    split = Split(_only_or_all(given), _only_or_all(truth))
    return Dataset(
        name=path.stem,
        classes=_classes(path, found),
        train=split,
        calibration=split,
        test=split,
        value_range=None,
        unit="as given",
        layout="",
        targets=_targets(path, found, first.shape[1]) if task == "regression" and len(truth) == 1 else (),
        task=task,
    )


def _family(path: Path, found: dict[str, NDArray[Any]], what: str) -> dict[str, NDArray[Any]]:
    """The array of that name, or those with that name before a dot."""
    several = {name: array for name, array in found.items() if name.startswith(f"{what}.")}
    if what in found and several:
        raise DatasetError(f"{path}: expected {what}, or an array for each name, got {what} and {', '.join(several)}")
    if what not in found and not several:
        raise DatasetError(f"{path}: lacks the array {what}")
    return several or {what: found[what]}


def _only_or_all(arrays: dict[str, NDArray[Any]]) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """The only array, or those with names after a dot, by these."""
    named = {name.partition(".")[2]: array for name, array in arrays.items() if "." in name}
    if named:
        return named
    (only,) = arrays.values()
    return only


def _numbers(path: Path, name: str, inputs: NDArray[Any]) -> NDArray[Any]:
    if inputs.dtype.kind not in "fiub" or not inputs.ndim:
        raise DatasetError(f"{path}: expected {name} to be numbers, got {inputs.dtype} {list(inputs.shape)}")
    if inputs.dtype in _KEPT:
        return inputs
    return inputs.astype(np.float32 if inputs.dtype.kind == "f" else np.int64)


def _classes(path: Path, found: dict[str, NDArray[Any]]) -> tuple[str, ...]:
    names = found.get("classes", np.array([], str))
    if names.ndim != 1:
        raise DatasetError(f"{path}: expected classes to name each class [K], got {list(names.shape)}")
    return tuple(str(name) for name in names)


def _task(labels: NDArray[Any]) -> TaskName:
    """What labels of this dtype and rank are an answer to."""
    if labels.dtype.kind == "f":
        return "regression"
    of_two = labels.ndim == 2 and labels.dtype.kind in "iu" and ((labels == 0) | (labels == 1)).all()
    return "multilabel" if of_two or (labels.dtype.kind == "b" and labels.ndim >= 2) else "classification"


def _on_or_off(path: Path, name: str, labels: NDArray[Any], rows: tuple[int, ...]) -> NDArray[Any]:
    if labels.shape[:1] != rows or not labels.size:
        raise DatasetError(
            f"{path}: expected {name} [B, K] of the {rows[0]} inputs, got {labels.dtype} {list(labels.shape)}"
        )
    # whole numbers stay: [B, K] may also be the classes of a sequence's steps, which the model knows
    return labels


def _indices(path: Path, name: str, labels: NDArray[Any], rows: tuple[int, ...]) -> NDArray[Any]:
    least = 0 if labels.ndim < 2 else -1
    if labels.dtype.kind not in "iu" or labels.shape[:1] != rows or not labels.size or labels.min() < least:
        raise DatasetError(
            f"{path}: expected {name} to hold one class index, 0 or more, for each of the {rows[0]} inputs, or for "
            f"each of their cells, where -1 is none, got {labels.dtype} {list(labels.shape)}"
        )
    return labels.astype(np.int64)


def _values(path: Path, name: str, labels: NDArray[Any], rows: tuple[int, ...]) -> NDArray[Any]:
    with np.errstate(over="ignore"):  # beyond float32 is ∞, and is refused below
        values = (labels[:, None] if labels.ndim == 1 else labels).astype(np.float32)
    if values.ndim < 2 or values.shape[:1] != rows or not values.size:
        raise DatasetError(
            f"{path}: expected {name} to hold values [B] or [B, D] for the {rows[0]} inputs, or [B, D, …] for their "
            f"cells, got {labels.dtype} {list(labels.shape)}"
        )
    wrong = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if wrong.any():
        raise DatasetError(
            f"{path}: {name}[{wrong.argmax()}]: expected finite values that fit float32, got {labels[wrong.argmax()]}"
        )
    return values


_READERS: dict[TaskName, Callable[[Path, str, NDArray[Any], tuple[int, ...]], NDArray[Any]]] = {
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
