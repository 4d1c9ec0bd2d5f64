"""House numbers (SVHN, Netzer et al. 2011), cropped to 32×32 in colour: the out-of-distribution
inputs of the Masksembles paper for networks trained on CIFAR-10."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import DatasetError

FILE = "test_32x32.mat"


def svhn(folder: Path) -> NDArray[np.uint8]:
    """The images of the official file test_32x32.mat: uint8 [B, 3, 32, 32].

    Raises:
        DatasetError: the file is missing or in another format.
    """
    from scipy.io import loadmat

    path = folder / FILE
    if not path.exists():
        raise DatasetError(f"{path}: no such file")
    try:
        found: dict[str, Any] = loadmat(path, variable_names=["X"])
    except Exception as error:  # SciPy raises several kinds over a file that is something else
        raise DatasetError(f"{path}: not a readable .mat file ({error})") from error
    images = found.get("X")
    if images is None or images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        got = "none" if images is None else f"{images.dtype} {list(images.shape)}"
        raise DatasetError(f"{path}: expected X to be uint8 [32, 32, 3, B], got {got}")
    return np.ascontiguousarray(images.transpose(3, 2, 0, 1))  # MATLAB has the rows on the last axis
