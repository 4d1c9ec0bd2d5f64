"""ImageNet (ILSVRC 2012), or any data set with a folder of JPEG files for each class. Too large for memory, so
images are decoded on access."""

import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import Dataset, DatasetError, Split, shuffled
from models.data.digests import listing_digest, text_digest

Bytes = NDArray[np.uint8]
Box = tuple[int, int, int, int]

_SIDE, _SHORTER = 224, 256
_CALIBRATION = 10_000
_SUFFIXES = (".jpeg", ".jpg")
_WORDS = ("LOC_synset_mapping.txt", "synset_words.txt")
_SOLUTION = "LOC_val_solution.csv"


class LazyImages:
    """Image files as if they were one array uint8 [B, 3, 224, 224], indexed by a slice or an array of rows.

    An image's shorter side is resized to `shorter` (bilinear, antialiased) and the middle 224×224 cut out, as usual
    for evaluation. One thread for each core decodes.

    Indexing raises:
        DatasetError: a file is missing, truncated or no JPEG or PNG.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: Sequence[str], shorter: int = _SHORTER) -> None:
        self._paths = paths
        self._shorter = shorter

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._paths), 3, _SIDE, _SIDE)

    @cached_property
    def digest(self) -> str:
        """Digest of the files' names and sizes, in order: reading a million files would take an hour."""
        return text_digest(listing_digest(map(Path, self._paths)), str(self._shorter))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Bytes:
        return self._read(np.arange(len(self))[rows], lambda _, image: _middle(image, self._shorter))

    def augmented(self, rows: NDArray[np.int64], rng: np.random.Generator) -> Bytes:
        """The images of some rows as for training: each a random part of itself (`random_box`), half of them
        mirrored. The same for the same state of `rng`, which advances.

        Raises:
            DatasetError: as when indexing.
        """
        # one for each image: threads finish in any order, and must not share random numbers
        rngs = [np.random.default_rng(seed) for seed in rng.integers(2**63, size=len(rows))]

        def part(place: int, image: Image.Image) -> Image.Image:
            box = random_box(image.width, image.height, rngs[place])
            return image.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, box)

        batch = self._read(rows, part)
        mirrored = np.array([each.random() < 0.5 for each in rngs], bool)
        batch[mirrored] = batch[mirrored, ..., ::-1]
        return batch

    def _read(self, rows: NDArray[np.int64], part: Callable[[int, Image.Image], Image.Image]) -> Bytes:
        """The 224×224 pixels that `part` makes of an image, and of its place among the rows."""
        batch = np.empty((len(rows), *self.shape[1:]), np.uint8)

        def read(place: int) -> None:
            path = self._paths[rows[place]]
            try:
                with Image.open(path, formats=("JPEG", "PNG")) as image:  # one of ImageNet's JPEG files is a PNG
                    pixels = np.asarray(part(place, image.convert("RGB")))
            except Exception as error:  # decoders do not document what a damaged file raises
                raise DatasetError(f"{path}: expected a JPEG file ({error})") from error
            batch[place] = pixels.transpose(2, 0, 1)

        # threads suffice: Pillow decodes outside the GIL
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(read, range(len(rows))))  # exhausted, or an error would stay in its future
        return batch


def imagenet(folder: Path | None = None) -> Dataset:
    """`train/CLASS/*.JPEG` and `val/CLASS/*.JPEG`: inputs `LazyImages`, classes in the order of their folders' names.

    `val` is the test split; 10,000 of the training images, or a tenth if there are fewer, are for calibration. Class
    names come from LOC_synset_mapping.txt or synset_words.txt if there is one. Kaggle's layout is read as unpacked:
    `ILSVRC/Data/CLS-LOC/val/*.JPEG` has no folders for the classes, which are listed in LOC_val_solution.csv.

    Raises:
        DatasetError: no folder, one without images, a class that is in `val` alone, or a text file in another format.
    """
    if folder is None or not folder.is_dir():
        raise DatasetError(
            f"{folder or 'imagenet'}: expected a folder with train/CLASS/*.JPEG and val/CLASS/*.JPEG, to be had from "
            "https://image-net.org after registration"
        )
    kaggle = folder / "ILSVRC" / "Data" / "CLS-LOC"
    root = kaggle if kaggle.is_dir() else folder
    synsets = folders_in(root / "train", "class")
    paths, labels = files_of(root / "train", synsets)
    order = shuffled(len(paths), seed=0)
    train, calibration = np.split(order, [len(order) - min(_CALIBRATION, len(order) // 10)])

    def split(rows: NDArray[np.int64]) -> Split:
        return Split(LazyImages([paths[row] for row in rows]), labels[rows])

    solution = folder / _SOLUTION
    found = _solved(root / "val", solution, synsets) if solution.exists() else files_of(root / "val", synsets)
    return Dataset(
        name="imagenet",
        classes=_names(folder, synsets),
        train=split(train),
        calibration=split(calibration),
        test=Split(LazyImages(found[0]), found[1]),
        value_range=(0.0, 255.0),
        unit="brightness of red, green and blue, 0 to 255",
        layout="BCHW",
    )


def folders_in(folder: Path, each: str) -> tuple[str, ...]:
    """The sorted names of a folder's subfolders; `each` names in messages what they stand for.

    Raises:
        DatasetError: there are none.
    """
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()) if folder.is_dir() else []
    if not names:
        raise DatasetError(f"{folder}: expected a folder with one folder for each {each}")
    return tuple(names)


def files_of(folder: Path, classes: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The paths of all JPEG files in the folders of classes, sorted within a class, and the classes' indices.

    Raises:
        DatasetError: there are none, or a folder of another class.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    paths: list[str] = []
    labels: list[int] = []
    for name in folders_in(folder, "class"):
        if name not in numbers:
            raise DatasetError(f"{folder / name}: a folder of a class that is not among the {len(classes)} classes")
        found = sorted(entry.path for entry in os.scandir(folder / name) if entry.name.lower().endswith(_SUFFIXES))
        paths += found
        labels += [numbers[name]] * len(found)
    if not paths:
        raise DatasetError(f"{folder}: expected JPEG files in the folders of the classes, there are none")
    return paths, np.array(labels, np.int64)


def random_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """A random part (left, top, right, bottom) with 8 to 100 % of an image's area and a ratio of 3:4 to 4:3, uniform
    in its logarithm; after ten that do not fit, the largest in the middle whose ratio is within (Szegedy et al. 2015,
    arXiv 1409.4842, as torchvision's RandomResizedCrop does it)."""
    low, high = 3 / 4, 4 / 3
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1)
        ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
        wide, tall = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = int(rng.integers(width - wide + 1)), int(rng.integers(height - tall + 1))
            return left, top, left + wide, top + tall
    wide, tall = min(width, max(round(height * high), 1)), min(height, max(round(width / low), 1))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall


def _middle(image: Image.Image, shorter: int) -> Image.Image:
    """The 224×224 in the middle, once the shorter side is `shorter`, in whole pixels as torchvision rounds them."""
    width, height = (shorter * size // min(image.size) for size in image.size)
    left, top = round((width - _SIDE) / 2), round((height - _SIDE) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + _SIDE, top + _SIDE))


def _names(folder: Path, synsets: Sequence[str]) -> tuple[str, ...]:
    """The classes' names from a file, if any; two classes with the same name get their folder's name added."""
    path = next((folder / name for name in _WORDS if (folder / name).exists()), None)
    if path is None:
        return tuple(synsets)
    words = dict(line.split(maxsplit=1) for line in _lines(path) if " " in line)
    if missing := [synset for synset in synsets if synset not in words]:
        raise DatasetError(f"{path}: expected a line with the words of each class, lacks {missing[0]}")
    times = Counter(words[synset] for synset in synsets)
    return tuple(words[each] if times[words[each]] == 1 else f"{words[each]} ({each})" for each in synsets)


def _solved(folder: Path, solution: Path, synsets: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Images in one folder whose classes are listed in a file: a heading, then lines `NAME,SYNSET x y x y …`."""
    numbers = {name: number for number, name in enumerate(synsets)}
    paths, labels = [], []
    for line in sorted(_lines(solution)[1:]):
        name, _, rest = line.partition(",")
        synset = rest.partition(" ")[0]
        if synset not in numbers:
            raise DatasetError(f"{solution}: expected lines of an image's name, a comma and its class, got {line!r}")
        paths.append(str(folder / f"{name}.JPEG"))
        labels.append(numbers[synset])
    if not paths:
        raise DatasetError(f"{solution}: expected lines of an image's name, a comma and its class, there are none")
    return paths, np.array(labels, np.int64)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: expected a text file ({error})") from error
