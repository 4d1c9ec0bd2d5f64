"""The labelled rows that a command works on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from app.contract.schema import Contract
from app.contract.tensor import WHOLE, Dtype
from models.data import LOADERS, Dataset, DatasetError, Split, load


def data_of(data: Path | None, model: str, contract: Contract) -> Dataset:
    """The data set of --data: an .npz file, or a folder with the files of the data set that the contract names."""
    if is_file(data):
        dataset = _as_declared(load(str(data)), contract)
    else:
        calibrated = [head.calibration.data for head in contract.heads if head.calibration]
        known = [name for name in (*calibrated, contract.origin.recipe.get("data")) if name in LOADERS]
        if not known:
            raise DatasetError(f"{model} names no data set that is known here: give an .npz file with --data")
        dataset = load(known[0], data)
    if len(contract.heads) == 1:
        _check_names(dataset, contract)
    return dataset


def is_file(data: Path | None) -> bool:
    return data is not None and data.suffix == ".npz"


def _check_names(dataset: Dataset, contract: Contract) -> None:
    head = contract.head
    if dataset.classes and dataset.classes != head.labels:
        raise DatasetError(f"classes: expected {', '.join(head.labels)}, got {', '.join(dataset.classes)}")
    for (name, unit), target in zip(dataset.targets, head.targets):
        for what, told, wanted in (("targets", name, target.name), ("units", unit, target.unit)):
            if told and told != wanted:
                raise DatasetError(f"{what}: expected {wanted!r} of {target.name}, got {told!r}")


def _as_declared(dataset: Dataset, contract: Contract) -> Dataset:
    """A file's whole numbers, whose dtype NumPy chose, as the dtype that the model takes."""
    split = dataset.calibration
    declared = {given.name: given.dtype for given in contract.inputs}
    inputs = split.inputs
    if isinstance(inputs, Mapping):
        inputs = {name: _cast(array, declared.get(name, "float32")) for name, array in inputs.items()}
    elif len(declared) == 1:
        inputs = _cast(inputs, contract.given.dtype)
    same = Split(inputs, split.labels)
    return replace(dataset, train=same, calibration=same, test=same)


def _cast(array: Any, dtype: Dtype) -> Any:
    """The same values, or the same array where they do not fit or another unit may be meant, as with bytes."""
    if array.dtype.kind != "i" or dtype not in ("float32", *WHOLE - {"uint8"}):
        return array
    cast = array.astype(dtype)
    return cast if dtype == "float32" or np.array_equal(cast, array) else array
