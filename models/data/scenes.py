"""Scenes to segment: pictures of Fashion-MNIST at random places and sizes on a canvas with clutter, and digits pasted
over them as what no training has seen. The class of every cell is known exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.contract.axis import FreeAxis
from models.data.clutter import clutter
from models.data.dataset import Dataset, Split
from models.data.draws import Draws
from models.data.fashion_mnist import CLASSES as ITEMS
from models.data.fashion_mnist import fashion_mnist

CLASSES = ("background", *ITEMS)
DIGIT = len(CLASSES)
"""The label of a digit's cell: none of the classes."""
OWN = 32
"""A pixel of a picture, once that has its size, is part of the item or digit if it is at least this bright."""

_SIZES = FreeAxis(least=32, most=512, multiple_of=8)
_SIDE = 64
_TRAIN, _CALIBRATION, _TEST = 8000, 1000, 1000
_SMALLEST, _LARGEST = 22, 35  # sides of a picture, 0.8 to 1.25 times its own 28
_CELLS, _DIGIT_CELLS = 800, 2048  # of the canvas for an item, or a digit, where there are most of them


@dataclass(frozen=True)
class Piece:
    """A picture on a canvas."""

    pixels: NDArray[np.uint8]
    """[side, side]; those of at least `OWN` hide what lies beneath, the others do not show."""
    label: int
    top: int
    left: int
    """Where it begins on the canvas; a picture may reach over the edge."""


def scenes(folder: Path | None = None) -> Dataset:
    """8000 scenes to train, 1000 to calibrate, 1000 to test: inputs uint8 [B, 1, 64, 64], labels int64 [B, 64, 64],
    0 for background and 1 to 10 for the classes of Fashion-MNIST. Each split has pictures of the split of Fashion-MNIST
    with the same name alone, which is read from `folder`.

    Raises:
        DatasetError: as `fashion_mnist`.
    """
    pictures = fashion_mnist(folder)
    return Dataset(
        name="scenes",
        classes=CLASSES,
        train=compose(pictures.train, _TRAIN, _SIDE, _SIDE, seed=0),
        calibration=compose(pictures.calibration, _CALIBRATION, _SIDE, _SIDE, seed=1),
        test=compose(pictures.test, _TEST, _SIDE, _SIDE, seed=2),
        value_range=(0.0, 255.0),
        unit="grey value, 0 to 255",
        layout="BCHW",
        input_shape=(1, "H", "W"),
        axes={"H": _SIZES, "W": _SIZES},
    )


def compose(pictures: Split, count: int, height: int, width: int, seed: int) -> Split:
    """Scenes of any size, from pictures of Fashion-MNIST [., 1, 28, 28]: inputs uint8 [count, 1, H, W] and labels
    int64 [count, H, W]. With another `count` the first scenes are the same."""
    inputs = np.empty((count, 1, height, width), np.uint8)
    labels = np.zeros((count, height, width), np.int64)
    for index in range(count):
        draws = Draws(seed, index)
        inputs[index, 0] = clutter(height, width, draws)
        for piece in items(pictures, height, width, draws):
            paste(piece, inputs[index, 0], labels[index])
    return Split(inputs, labels)


def with_digits(found: Split, seed: int = 0) -> Split:
    """Copies of scenes, each with one or more of scikit-learn's digits pasted over it, whose cells are labelled
    `DIGIT`."""
    inputs, labels = np.array(found.inputs), found.labels.copy()
    height, width = labels.shape[1:]
    for index in range(len(found)):
        for piece in digits(height, width, Draws(seed, index)):
            paste(piece, inputs[index, 0], labels[index])
    return Split(inputs, labels)


def digit_cells(found: Split) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Scenes with digits, and which cells are a digit's."""
    made = with_digits(found)
    return made.inputs, made.labels == DIGIT


def items(pictures: Split, height: int, width: int, draws: Draws) -> Iterator[Piece]:
    """The items of a scene, later ones over earlier ones: up to one for every 800 cells, at least half as many."""
    most = max(height * width // _CELLS, 1)
    for _ in range(draws.whole(max(most // 2, 1), most)):
        row = draws.whole(0, len(pictures) - 1)
        pixels = np.rint(pictures.inputs[row : row + 1][0, 0] * 255).astype(np.uint8)
        yield _piece(pixels, 1 + int(pictures.labels[row]), (height, width), draws)


def digits(height: int, width: int, draws: Draws) -> Iterator[Piece]:
    """The digits of a scene: one, or up to one for every 2048 cells."""
    pictures = _digits()
    for _ in range(draws.whole(1, max(height * width // _DIGIT_CELLS, 1))):
        yield _piece(pictures[draws.whole(0, len(pictures) - 1)], DIGIT, (height, width), draws)


def paste(piece: Piece, canvas: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
    """Writes a piece's own pixels on a canvas [H, W], and its label into the same cells."""
    height, width = canvas.shape
    top, left = max(-piece.top, 0), max(-piece.left, 0)
    pixels = piece.pixels[top : height - piece.top, left : width - piece.left]
    y, x = piece.top + top, piece.left + left
    own = pixels >= OWN
    canvas[y : y + len(pixels), x : x + pixels.shape[1]][own] = pixels[own]
    labels[y : y + len(pixels), x : x + pixels.shape[1]][own] = piece.label


def _piece(pixels: NDArray[np.uint8], label: int, canvas: tuple[int, int], draws: Draws) -> Piece:
    """Somewhere on the canvas, at most a quarter of it over an edge."""
    side = draws.whole(_SMALLEST, _LARGEST)
    resized = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))
    over = side // 4
    top, left = (draws.whole(-over, max(size - side + over, -over)) for size in canvas)
    return Piece(resized, label, top, left)


@cache
def _digits() -> NDArray[np.uint8]:
    """Of scikit-learn, uint8 [1797, 8, 8]."""
    from sklearn.datasets import load_digits

    pixels: NDArray[np.uint8] = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)  # grey values are 0 to 16
    return pixels
