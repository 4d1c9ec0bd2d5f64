"""Images corrupted in nine ways at five severities, as in CIFAR-10-C and ImageNet-C, with NumPy and SciPy only: to
see whether a network's uncertainty grows with its errors. Any height and width, grey or colour."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d

Floats = NDArray[np.float32]
Family = Literal["cifar", "imagenet"]

# Hendrycks and Dietterich (2019, arXiv 1903.12261), make_cifar_c.py and make_imagenet_c.py at 8190fe3. Severity 1 to 5:
# σ of the noise, photons of full brightness, share of pixels, σ in pixels, factor, + V of HSV, share of the side.
# They have no rotation: the degrees are ours, the same for both.
PARAMETERS: dict[Family, dict[str, tuple[float, ...]]] = {
    "cifar": {
        "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
        "shot_noise": (500, 250, 100, 75, 50),
        "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
        "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),
        "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
        "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
        "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
        "rotation": (5, 10, 15, 20, 30),
    },
    "imagenet": {
        "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "shot_noise": (60, 25, 12, 5, 3),
        "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "speckle_noise": (0.15, 0.2, 0.35, 0.45, 0.6),
        "gaussian_blur": (1, 2, 3, 4, 6),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
        "rotation": (5, 10, 15, 20, 30),
    },
}
KINDS = tuple(PARAMETERS["cifar"])
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(
    images: Floats,
    kind: str,
    severity: int,
    seed: int = 0,
    *,
    family: Family = "cifar",
    rows: Sequence[int] | NDArray[np.int64] | None = None,
) -> Floats:
    """Images float32 [B, C, H, W] in [0, 1], corrupted; the same shape and range.

    An image's noise depends on the seed and on its row in the data set: `rows`, by default 0 to B − 1. So the
    result does not depend on how a data set is split into batches. The severities of a kind share their random numbers.

    Raises:
        ValueError: unknown kind, severity or family, or images of another dtype or rank.
    """
    if family not in PARAMETERS or kind not in KINDS or severity not in SEVERITIES:
        raise ValueError(
            f"expected a family of {', '.join(PARAMETERS)}, a kind of {', '.join(KINDS)} and a severity from 1 to 5, "
            f"got {family!r}, {kind!r} and {severity!r}"
        )
    if images.dtype != np.float32 or images.ndim != 4:
        raise ValueError(f"expected images float32 [B, C, H, W], got {images.dtype} {list(images.shape)}")
    amount = PARAMETERS[family][kind][severity - 1]
    if kind in _NOISES:
        noise, changed = _NOISES[kind], np.empty_like(images)
        for place, row in enumerate(range(len(images)) if rows is None else rows):
            changed[place] = noise(images[place], amount, np.random.Generator(np.random.PCG64((seed, int(row)))))
    else:
        changed = _CHANGES[kind](images, amount)
    return np.asarray(np.clip(changed, 0, 1), np.float32)


def _gaussian_noise(x: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    return x + np.float32(sigma) * rng.standard_normal(x.shape, np.float32)


def _shot_noise(x: Floats, photons: float, rng: np.random.Generator) -> Floats:
    return (rng.poisson(x * photons) / photons).astype(np.float32)


def _impulse_noise(x: Floats, share: float, rng: np.random.Generator) -> Floats:
    chance = rng.random(x.shape, np.float32)
    return np.where(chance < share, (chance < share / 2).astype(np.float32), x)


def _speckle_noise(x: Floats, sigma: float, rng: np.random.Generator) -> Floats:
    return np.asarray(x + x * np.float32(sigma) * rng.standard_normal(x.shape, np.float32))


def _gaussian_blur(x: Floats, sigma: float) -> Floats:
    return _resample(x, lambda size: gaussian_filter1d(np.eye(size, dtype=np.float32), sigma, axis=0, mode="nearest"))


def _contrast(x: Floats, factor: float) -> Floats:
    mean = x.mean(axis=(2, 3), keepdims=True)
    return np.asarray((x - mean) * np.float32(factor) + mean)


def _brightness(x: Floats, more: float) -> Floats:
    """V of HSV is the largest channel; hue and saturation stay where all channels grow by its factor."""
    value = x.max(axis=1, keepdims=True)
    brighter = np.minimum(value + np.float32(more), 1)
    return np.asarray(np.where(value > 0, x * (brighter / np.where(value > 0, value, 1)), brighter))


def _pixelate(x: Floats, share: float) -> Floats:
    def matrix(size: int) -> Floats:
        # resizing is linear, and separate for rows and columns: the resized identity is its matrix
        pixels = Image.fromarray(np.eye(size, dtype=np.float32))
        for height in (max(int(size * share), 1), size):
            pixels = pixels.resize((size, height), Image.Resampling.BOX)
        return np.asarray(pixels, np.float32)

    return _resample(x, matrix)


def _resample(x: Floats, matrix: Callable[[int], Floats]) -> Floats:
    """Replaces columns and rows by the weighted sums that a matrix [size, size] defines."""
    height, width = x.shape[2:]
    return np.asarray(matrix(height) @ x @ matrix(width).T)


def _rotation(x: Floats, degrees: float) -> Floats:
    """Rotates anticlockwise about the centre, bilinearly; pixels from outside repeat the nearest border pixel."""
    height, width = x.shape[2:]
    middle, turn = np.array([height - 1, width - 1]) / 2, np.deg2rad(degrees)
    down, right = np.indices((height, width)) - middle[:, None, None]
    source = (np.cos(turn) * down + np.sin(turn) * right, np.cos(turn) * right - np.sin(turn) * down)
    row, column = (np.clip(way + mid, 0, 2 * mid) for way, mid in zip(source, middle))
    top, left = row.astype(int), column.astype(int)
    bottom, next_ = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    lower, later = (row - top).astype(np.float32), (column - left).astype(np.float32)
    above = x[:, :, top, left] * (1 - later) + x[:, :, top, next_] * later
    below = x[:, :, bottom, left] * (1 - later) + x[:, :, bottom, next_] * later
    return np.asarray(above * (1 - lower) + below * lower)


_NOISES = {
    "gaussian_noise": _gaussian_noise,
    "shot_noise": _shot_noise,
    "impulse_noise": _impulse_noise,
    "speckle_noise": _speckle_noise,
}
_CHANGES = {
    "gaussian_blur": _gaussian_blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "pixelate": _pixelate,
    "rotation": _rotation,
}
