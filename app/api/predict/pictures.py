"""Maps [H, W] as PNG pictures: classes in colours that differ, scores in grey or in the colours of viridis.

A pixel of a map of classes is the index of the class. One of a score is a whole number, which stands for
least + (most − least) · pixel / (2^bits − 1): at most half a step from the value.
"""

import base64
import math
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.api.predict import png
from app.api.predict.colours import CLASSES, VIRIDIS
from app.errors import InvalidInput, OutputNotFinite

RANGE_HEADER = "X-Map-Range"
MOST_CLASSES = len(CLASSES) // 3

_ARRAYS = "ask for arrays with Accept: application/x-npz"


class MapRange(NamedTuple):
    """The values that the smallest and the largest pixel of a score's picture stand for, in the score's unit."""

    least: float
    most: float

    def spell(self) -> str:
        """As the header RANGE_HEADER has it, such as `0.0 2.302585092994046`: both numbers are read back exactly."""
        return f"{self.least} {self.most}"


class ScorePicture(NamedTuple):
    """A PNG file, and what its pixels stand for."""

    png: bytes
    range: MapRange


def of_classes(indices: NDArray[Any], classes: int, name: str) -> bytes:
    """A map of classes as a palette picture of 8 bits, whose pixels are the indices.

    Args:
        indices: integers [H, W] from 0 to classes − 1, or booleans (two classes).
        classes: K.
        name: what errors call the map.

    Raises:
        InvalidInput: this is no map, or there are more classes than 8 bits can tell apart.
    """
    _check_shape(indices, name)
    if classes > MOST_CLASSES:
        raise InvalidInput(
            f"a picture shows at most {MOST_CLASSES} classes, {name} has {classes}; {_ARRAYS}", "outputs"
        )
    if not 0 <= indices.min() <= indices.max() < classes:
        raise ValueError(f"{name} has an index outside 0 to {classes - 1}")
    return png.write(indices.astype(np.uint8), CLASSES[: 3 * classes])


def grey(values: NDArray[Any], name: str, bounds: MapRange | None = None, bits: Literal[8, 16] = 8) -> ScorePicture:
    """A map of a score as a grey picture: black is its least value, white its most.

    Args:
        values: floats [H, W].
        name: what errors call the map.
        bounds: those of the score, such as 0 and ln K for an entropy; a value that rounding brought beyond them becomes
            black or white. Without them, the map's own least and most value.
        bits: of a pixel.

    Raises:
        InvalidInput: this is no map.
        OutputNotFinite: a value is NaN or infinite.
    """
    pixels, found = _quantise(values, name, bounds, bits)
    return ScorePicture(png.write(pixels), found)


def coloured(values: NDArray[Any], name: str, bounds: MapRange | None = None) -> ScorePicture:
    """The same in the colours of viridis: a palette picture whose pixels are those of the grey one of 8 bits."""
    pixels, found = _quantise(values, name, bounds, 8)
    return ScorePicture(png.write(pixels, VIRIDIS), found)


def as_text(picture: bytes) -> str:
    """A PNG file in base64, for JSON."""
    return base64.b64encode(picture).decode()


def _check_shape(values: NDArray[Any], name: str) -> None:
    if values.ndim != 2 or 0 in values.shape:
        raise InvalidInput(f"expected a map [H, W] for a picture, {name} is {list(values.shape)}; {_ARRAYS}", "outputs")


def _quantise(values: NDArray[Any], name: str, bounds: MapRange | None, bits: int) -> tuple[NDArray[Any], MapRange]:
    """The pixels [H, W] of a score, and what they stand for."""
    _check_shape(values, name)
    if not np.isfinite(values).all():
        raise OutputNotFinite(f"{name} holds NaN or infinity, which no picture shows; {_ARRAYS}")
    least, most = map(float, bounds or (values.min(), values.max()))
    span = most - least
    if not 0 <= span < math.inf:
        raise ValueError(f"expected finite bounds in order, got {least} and {most}")
    top = 2**bits - 1
    scaled = values.astype(np.float64)  # float32 cannot tell 65536 steps apart far from 0
    scaled -= least
    scaled /= span or 1  # bounds may coincide: the mutual information of one submodel is 0
    np.clip(scaled, 0, 1, out=scaled)
    scaled *= top
    return np.rint(scaled, out=scaled).astype(np.uint8 if bits == 8 else np.uint16), MapRange(least, most)
