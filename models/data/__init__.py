"""Data sets as NumPy arrays: training, calibration and test splits, by name or from a file. No torch here."""

from collections.abc import Callable
from pathlib import Path

from models.data.cifar10 import cifar10
from models.data.dataset import Dataset, DatasetError, Split
from models.data.diabetes import diabetes
from models.data.digit_traits import digit_traits
from models.data.digits import digits
from models.data.fashion_mnist import fashion_mnist
from models.data.imagenet import imagenet
from models.data.languages import languages
from models.data.npz import npz
from models.data.scenes import scenes
from models.data.sinusoids import sinusoids

__all__ = ["LOADERS", "Dataset", "DatasetError", "Split", "load"]

LOADERS: dict[str, Callable[[Path | None], Dataset]] = {
    "cifar-10": cifar10,
    "diabetes": diabetes,
    "digit-traits": digit_traits,
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "imagenet": imagenet,
    "languages": languages,
    "scenes": scenes,
    "sinusoids": sinusoids,
}


def load(data: str, folder: Path | None = None) -> Dataset:
    """A data set by its name (its files in `folder`), or an .npz file of the user's own (see `npz`).

    Raises:
        DatasetError: unknown name, or a file that is missing, truncated or in another format.
    """
    if data in LOADERS:
        return LOADERS[data](folder)
    if data.endswith(".npz"):
        return npz(Path(data))
    raise DatasetError(f"unknown data set {data!r}: expected one of {', '.join(LOADERS)}, or an .npz file")
