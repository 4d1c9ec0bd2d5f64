"""A user's own labelled data in one .npz file, to calibrate and evaluate a network with."""

from pathlib import Path

import numpy as np

from models.data.dataset import Dataset, DatasetError, Split


def npz(path: Path) -> Dataset:
    """Reads `inputs` [B, …] and `labels` [B] (whole numbers) and optionally `classes`, their names in order.

    All rows are offered as each of the three splits: a file is one split, and the caller knows which.

    Raises:
        DatasetError: missing, not an .npz file, an array missing or of the wrong kind.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in ("inputs", "labels", "classes") if name in arrays}
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except Exception as error:  # NumPy, zipfile and zlib raise a dozen kinds over a file that is something else
        raise DatasetError(f"{path}: not a readable .npz file of plain arrays ({error})") from error
    if missing := {"inputs", "labels"} - found.keys():
        raise DatasetError(f"{path}: lacks the array {', '.join(sorted(missing))}")
    inputs, labels = found["inputs"], found["labels"]
    if labels.dtype.kind not in "iu" or labels.shape != inputs.shape[:1] or not len(labels) or labels.min() < 0:
        raise DatasetError(
            f"{path}: expected labels to hold one class index for each of the {inputs.shape[:1]} inputs, "
            f"got {labels.dtype} {labels.shape}"
        )
    if inputs.dtype != np.uint8:
        if inputs.dtype.kind not in "fiu":
            raise DatasetError(f"{path}: expected inputs to be numbers, got {inputs.dtype}")
        inputs = inputs.astype(np.float32)
    split = Split(inputs, labels.astype(np.int64))
    return Dataset(
        name=path.stem,
        classes=tuple(str(name) for name in found.get("classes", ())),
        train=split,
        calibration=split,
        test=split,
        value_range=None,
        unit="as given",
        layout="",
    )
