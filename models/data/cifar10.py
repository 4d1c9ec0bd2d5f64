"""CIFAR-10 (Krizhevsky, 2009): 32×32 colour images of ten classes, from a folder with the official files: the binary
version, or the Python version, which is unpickled without running code from the file."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import Dataset, DatasetError, Split, shuffled

Bytes = NDArray[np.uint8]

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = "test_batch"
_IMAGE = 3 * 32 * 32
# all that a pickled array of NumPy names; its module was renamed with NumPy 2
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


def cifar10(folder: Path | None = None) -> Dataset:
    """45,000 images to train, 5,000 to calibrate, 10,000 to test: inputs uint8 [B, 3, 32, 32], 0 to 255.

    `folder` holds the files of one version, or the folder that its archive unpacks to. Files with fewer images are
    accepted, too; a tenth of the training images is for calibration.

    Raises:
        DatasetError: no folder, or a file is missing, truncated or in another format.
    """
    folder, suffix = _find(folder)
    read = _read_binary if suffix else _read_pickle
    batches = [read(folder / f"{name}{suffix}") for name in _TRAIN]
    images, kinds = (np.concatenate(parts) for parts in zip(*batches))
    order = shuffled(len(kinds), seed=0)
    train, calibration = np.split(order, [len(order) - len(order) // 10])
    return Dataset(
        name="cifar-10",
        classes=CLASSES,
        train=Split(images[train], kinds[train]),
        calibration=Split(images[calibration], kinds[calibration]),
        test=Split(*read(folder / f"{_TEST}{suffix}")),
        value_range=(0.0, 255.0),
        unit="brightness of red, green and blue, 0 to 255",
        layout="BCHW",
    )


def _find(folder: Path | None) -> tuple[Path, str]:
    for place in (folder, folder / "cifar-10-batches-bin", folder / "cifar-10-batches-py") if folder else ():
        for suffix in (".bin", ""):
            if (place / f"{_TRAIN[0]}{suffix}").exists():
                return place, suffix
    raise DatasetError(
        f"{folder or 'cifar-10'}: expected a folder with {_TRAIN[0]}.bin to {_TRAIN[-1]}.bin and {_TEST}.bin, or the "
        "same without .bin: unpack cifar-10-binary.tar.gz or cifar-10-python.tar.gz of "
        "https://www.cs.toronto.edu/~kriz/cifar.html"
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from error


def _read_binary(path: Path) -> tuple[Bytes, NDArray[np.int64]]:
    """Records of one label and 3072 bytes: the red, the green and the blue plane, row by row."""
    content = _content(path)
    if not content or len(content) % (1 + _IMAGE):
        raise DatasetError(f"{path}: expected records of {1 + _IMAGE} bytes, got {len(content)} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _IMAGE)
    return _checked(path, records[:, 1:], records[:, 0])


def _read_pickle(path: Path) -> tuple[Bytes, NDArray[np.int64]]:
    """A dictionary with `data` uint8 [B, 3072] and `labels`, a list of B numbers."""
    wrong = f"{path}: expected a pickled dictionary with data uint8 [B, {_IMAGE}] and B labels"
    try:
        batch = _Unpickler(path).load()
        images, kinds = batch[b"data"], np.array(batch[b"labels"])
    except DatasetError:
        raise
    except Exception as error:  # the unpickler raises whatever it stumbles over
        raise DatasetError(f"{wrong} ({error or type(error).__name__})") from error
    if (
        not isinstance(images, np.ndarray)
        or (images.dtype, images.shape[1:]) != (np.uint8, (_IMAGE,))
        or kinds.dtype.kind not in "iu"
        or kinds.shape != images.shape[:1]
        or not kinds.size
    ):
        raise DatasetError(wrong)
    return _checked(path, images, kinds)


def _checked(path: Path, images: Bytes, kinds: NDArray[Any]) -> tuple[Bytes, NDArray[np.int64]]:
    if kinds.min() < 0 or kinds.max() >= len(CLASSES):
        raise DatasetError(f"{path}: expected labels from 0 to {len(CLASSES) - 1}, got {kinds.min()} to {kinds.max()}")
    return images.reshape(-1, 3, 32, 32), kinds.astype(np.int64)


class _Unpickler(pickle.Unpickler):
    """Loads plain values and NumPy arrays, and refuses every other name, since loading one would run its code."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.BytesIO(_content(path)), encoding="bytes")  # of Python 2: keys are bytes
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise DatasetError(f"{self._path}: expected plain values and arrays, it asks for {module}.{name}")
        return _ALLOWED[module, name]
