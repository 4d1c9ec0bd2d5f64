"""Fashion-MNIST (Xiao et al., 2017, arXiv 1708.07747; MIT licence): 28×28 grey images of ten classes of clothing."""

import hashlib
import http.client
import os
import tempfile
import urllib.request
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import Dataset, DatasetError, Split, shuffled
from models.data.idx import read_idx

Bytes = NDArray[np.uint8]

CLASSES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_SOURCE = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
_CALIBRATION = 5000


def fashion_mnist(folder: Path | None = None) -> Dataset:
    """55,000 images to train, 5,000 to calibrate, 10,000 to test: inputs float32 [B, 1, 28, 28] in [0, 1].

    The four IDX files, plain or gzipped, are read from `folder`; by default from Debian's package
    dataset-fashion-mnist, or else from a download kept in the user's cache.

    Raises:
        DatasetError: a file is missing, truncated or in another format, or a download has the wrong checksum.
    """
    if folder is None:
        folder = _DEBIAN if _DEBIAN.is_dir() else _download()
    pixels, kinds = _read(folder, "train")
    order = shuffled(len(kinds), seed=0)
    train, calibration = order[_CALIBRATION:], order[:_CALIBRATION]
    return Dataset(
        name="fashion-mnist",
        classes=CLASSES,
        train=_split(pixels[train], kinds[train]),
        calibration=_split(pixels[calibration], kinds[calibration]),
        test=_split(*_read(folder, "t10k")),
        value_range=(0.0, 1.0),
        unit="grey value, 0 background to 1 brightest",
        layout="BCHW",
    )


def _read(folder: Path, part: str) -> tuple[Bytes, Bytes]:
    pixels = read_idx(_find(folder, f"{part}-images-idx3-ubyte"), (None, 28, 28))
    path = _find(folder, f"{part}-labels-idx1-ubyte")
    kinds = read_idx(path, (len(pixels),))
    if len(kinds) and kinds.max() >= len(CLASSES):
        raise DatasetError(f"{path}: expected labels from 0 to {len(CLASSES) - 1}, got {kinds.max()}")
    return pixels, kinds


def _find(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.exists():
            return path
    raise DatasetError(f"{folder}: holds neither {name}.gz nor {name}")


def _split(pixels: Bytes, kinds: Bytes) -> Split:
    return Split(pixels[:, None].astype(np.float32) / np.float32(255), kinds.astype(np.int64))


def _download() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "masksembles" / "fashion-mnist"
    cache.mkdir(parents=True, exist_ok=True)
    for name, checksum in _SHA256.items():
        path = cache / name
        if path.exists():
            continue
        try:
            with urllib.request.urlopen(_SOURCE + name, timeout=60) as response:  # noqa: S310 - a constant https address
                content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise DatasetError(
                f"cannot download {_SOURCE + name} ({error}): give a folder that holds the four files, or install "
                "Debian's package dataset-fashion-mnist"
            ) from error
        if hashlib.sha256(content).hexdigest() != checksum:
            raise DatasetError(f"{_SOURCE + name}: wrong checksum, {len(content)} bytes thrown away")
        # renamed last, from a name of its own: an interrupted download is never taken for the file, and two processes
        # that download at once do not write into one another's
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as part:
            part.write(content)
        os.replace(part.name, path)
    return cache
