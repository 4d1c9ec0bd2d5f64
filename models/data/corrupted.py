"""Corrupted test rows, kind by kind and severity by severity: from the official files of CIFAR-10-C and ImageNet-C
(Hendrycks and Dietterich, 2019, arXiv 1903.12261), or made from any images by `models.data.corruptions`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.cifar10 import CLASSES
from models.data.corruptions import KINDS, SEVERITIES, Family, corrupt
from models.data.dataset import DatasetError, Lazy, Split
from models.data.digests import contents_digest, listing_digest, rows_digest, text_digest
from models.data.imagenet import LazyImages, files_of, folders_in

Corrupted = Iterator[tuple[str, int, Split]]

_ROWS = 1000  # corrupted at a time, so that float32 copies of a whole data set are never in memory


def cifar10_c(folder: Path) -> Corrupted:
    """Kind, severity and rows uint8 [B, 3, 32, 32] of the files KIND.npy, uint8 [5·B, 32, 32, 3], severity after
    severity, and labels.npy [5·B].

    Raises, while iterating:
        DatasetError: a file is missing, truncated or in another format.
    """
    path = folder / "labels.npy"
    labels = _array(path)
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or not len(labels) or len(labels) % len(SEVERITIES):
        raise DatasetError(
            f"{path}: expected whole numbers for five severities, got {labels.dtype} {list(labels.shape)}"
        )
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise DatasetError(f"{path}: expected 0 to {len(CLASSES) - 1}, got {labels.min()} to {labels.max()}")
    kinds = sorted(file for file in folder.glob("*.npy") if file != path)
    if not kinds:
        raise DatasetError(f"{folder}: expected files such as gaussian_noise.npy, there is only labels.npy")
    for file in kinds:
        images = _array(file)
        if images.dtype != np.uint8 or images.shape != (len(labels), 32, 32, 3):
            raise DatasetError(
                f"{file}: expected uint8 [{len(labels)}, 32, 32, 3], got {images.dtype} {list(images.shape)}"
            )
        for severity, rows in zip(SEVERITIES, np.split(np.arange(len(labels)), len(SEVERITIES))):
            # the files have channels last
            block = np.ascontiguousarray(images[rows].transpose(0, 3, 1, 2))
            yield file.stem, severity, Split(block, labels[rows].astype(np.int64))


def imagenet_c(folder: Path) -> Corrupted:
    """Kind, severity and rows of the files KIND/SEVERITY/CLASS/*.JPEG, 224×224, decoded on access.
    Classes are numbered in the order of their folders' names, which must be the same everywhere.

    Raises, while iterating:
        DatasetError: a folder is missing, empty or in another format.
    """
    classes: tuple[str, ...] = ()
    for kind in folders_in(folder, "kind of corruption"):
        for severity in SEVERITIES:
            place = folder / kind / str(severity)
            found = folders_in(place, "class")
            classes = classes or found
            if found != classes:
                raise DatasetError(f"{place}: expected the same {len(classes)} classes as elsewhere, got {len(found)}")
            paths, labels = files_of(place, classes)
            yield kind, severity, Split(LazyImages(paths, shorter=224), labels)


def generated(split: Split, family: Family = "cifar", seed: int = 0) -> Corrupted:
    """Kind, severity and rows of images, float32 in [0, 1] or uint8, corrupted; of the same dtype, uint8 rounded.
    Lazy rows are corrupted on access.

    Raises, while iterating:
        ValueError: inputs that are not images [B, C, H, W].
    """
    for kind in KINDS:
        for severity in SEVERITIES:
            corrupted = LazilyCorrupted(split.inputs, kind, severity, family, seed)
            if isinstance(split.inputs, np.ndarray):
                blocks = [corrupted[start : start + _ROWS] for start in range(0, max(len(corrupted), 1), _ROWS)]
                yield kind, severity, Split(np.concatenate(blocks), split.labels)
            else:
                yield kind, severity, Split(corrupted, split.labels)


class LazilyCorrupted:
    """Rows that are corrupted on access."""

    def __init__(self, inputs: NDArray[Any] | Lazy, kind: str, severity: int, family: Family, seed: int) -> None:
        self._inputs, self._kind, self._severity, self._family, self._seed = inputs, kind, severity, family, seed
        self.shape: tuple[int, ...] = inputs.shape
        self.dtype: np.dtype[Any] = inputs.dtype

    @property
    def digest(self) -> str:
        """Digest of the uncorrupted rows and of the corruption's settings."""
        return text_digest(rows_digest(self._inputs), f"{self._kind} {self._severity} {self._family} {self._seed}")

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[Any]:
        numbers = np.arange(len(self))[rows]
        images: NDArray[Any] = self._inputs[rows]
        if self.dtype == np.uint8:
            images = images / np.float32(255)
        changed = corrupt(images, self._kind, self._severity, self._seed, family=self._family, rows=numbers)
        return np.rint(changed * 255).astype(np.uint8) if self.dtype == np.uint8 else changed


@dataclass(frozen=True)
class CorruptedFiles:
    """The official corrupted form of a data set, in a folder next to the data set's files."""

    folder: str
    """Its name."""
    read: Callable[[Path], Corrupted]
    digest: Callable[[Path], str]
    """A digest that identifies its files."""

    def beside(self, data: Path | None) -> Path | None:
        """Its folder among the files of the data set; None if there is none."""
        place = None if data is None else data / self.folder
        return place if place is not None and place.is_dir() else None


@cache
def _contents(folder: Path) -> str:
    return contents_digest(folder.glob("*.npy"))


@cache
def _listing(folder: Path) -> str:
    return listing_digest(sorted(path for path in folder.rglob("*") if path.is_file()))


CIFAR_10_C = CorruptedFiles("CIFAR-10-C", cifar10_c, _contents)
IMAGENET_C = CorruptedFiles("ImageNet-C", imagenet_c, _listing)


def _array(path: Path) -> NDArray[Any]:
    try:
        # mapped: only the rows of one severity are read; no pickles, which could run code
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file") from None
    except Exception as error:  # NumPy raises several kinds over a file that is something else
        raise DatasetError(f"{path}: not a readable .npy file ({error})") from error
    if not isinstance(found, np.ndarray):
        raise DatasetError(f"{path}: expected an .npy file, got an .npz file")
    return found
