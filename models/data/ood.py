"""Out-of-distribution (OOD) inputs, to see whether a network is uncertain about them: digits for a network trained on
clothing, noise, and classes held out of training."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.data.dataset import Dataset, DatasetError, Split
from models.data.scenes import with_digits

_NOISE_ROWS = 2000


def digits_28() -> NDArray[np.float32]:
    """The 8×8 digits of scikit-learn, bilinearly enlarged: float32 [1797, 1, 28, 28], 0 background to 1 ink."""
    from sklearn.datasets import load_digits

    small = [Image.fromarray(pixels) for pixels in (load_digits().images / 16).astype(np.float32)]
    return np.stack([np.asarray(image.resize((28, 28), Image.Resampling.BILINEAR))[None] for image in small])


def noise(count: int, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    """Every value of every image uniform in [0, 1): float32 [count, *shape]."""
    return np.random.Generator(np.random.PCG64(seed)).random((count, *shape), np.float32)


def ood_inputs(dataset: Dataset) -> dict[str, NDArray[Any]]:
    """Out-of-distribution images for a data set of images, by name, of its dtype; none for others.

    Digits and noise for Fashion-MNIST, test scenes with digits in them and noise for scenes, noise for all others.
    """
    if not dataset.layout:
        return {}
    shape, dtype = dataset.test.inputs.shape[1:], dataset.test.inputs.dtype
    images: NDArray[Any] = noise(_NOISE_ROWS, shape)
    if dtype == np.uint8:
        images = np.rint(images * 255).astype(np.uint8)
    if dataset.name == "fashion-mnist":
        return {"digits": digits_28(), "noise": images}
    if dataset.name == "scenes":
        return {"digits": with_digits(dataset.test).inputs[:], "noise": images}
    return {"noise": images}


def held_out(dataset: Dataset, classes: Collection[str]) -> tuple[Dataset, Split]:
    """The data set without some of its classes, the others renumbered in their order, and the test rows of the classes
    held out, which keep their labels of the whole data set. Inputs must be arrays.

    Raises:
        DatasetError: a class that the data set does not name, less than two that stay, or inputs that are read lazily.
    """
    if unknown := set(classes) - set(dataset.classes):
        raise DatasetError(
            f"{dataset.name}: expected classes of {', '.join(dataset.classes) or 'none'}, "
            f"got {', '.join(sorted(unknown))}"
        )
    stays = np.array([name not in classes for name in dataset.classes])
    if stays.sum() < 2:
        raise DatasetError(f"{dataset.name}: expected at least two classes to stay, {stays.sum()} would")
    if not isinstance(dataset.test.inputs, np.ndarray):
        raise DatasetError(f"{dataset.name}: expected arrays, its inputs are read lazily")
    number = np.cumsum(stays) - 1

    def known(split: Split) -> Split:
        rows = np.flatnonzero(stays[split.labels])
        return Split(split.inputs[rows], number[split.labels[rows]])

    unseen = np.flatnonzero(~stays[dataset.test.labels])
    rest = replace(
        dataset,
        classes=tuple(name for name in dataset.classes if name not in classes),
        train=known(dataset.train),
        calibration=known(dataset.calibration),
        test=known(dataset.test),
    )
    return rest, Split(dataset.test.inputs[unseen], dataset.test.labels[unseen])
