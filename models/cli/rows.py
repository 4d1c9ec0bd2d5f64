"""The labelled rows that a command works on."""

from pathlib import Path

from app.contract.schema import Contract
from models.data import LOADERS, Dataset, DatasetError, load


def data_of(data: Path | None, model: str, contract: Contract) -> Dataset:
    """The data set of --data: an .npz file, or a folder with the files of the data set that the contract names."""
    if is_file(data):
        dataset = load(str(data))
    else:
        named = [contract.calibration.data if contract.calibration else None, contract.origin.recipe.get("data")]
        known = [name for name in named if name in LOADERS]
        if not known:
            raise DatasetError(f"{model} names no data set that is known here: give an .npz file with --data")
        dataset = load(known[0], data)
    if dataset.classes and dataset.classes != contract.labels:
        raise DatasetError(f"classes: expected {', '.join(contract.labels)}, got {', '.join(dataset.classes)}")
    for (name, unit), target in zip(dataset.targets, contract.targets):
        for what, told, wanted in (("targets", name, target.name), ("units", unit, target.unit)):
            if told and told != wanted:
                raise DatasetError(f"{what}: expected {wanted!r} of {target.name}, got {told!r}")
    return dataset


def is_file(data: Path | None) -> bool:
    return data is not None and data.suffix == ".npz"
