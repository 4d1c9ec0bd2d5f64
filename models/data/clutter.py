"""Backgrounds that are not empty: gradients, patches of noise and strokes, grey values 0 to 255."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from models.data.draws import Draws

_BRIGHTEST = 120
"""Of the gradient; patches and strokes may be brighter."""
_NOISE = 24
"""Width of the range of the noise that lies over the gradient."""


def clutter(height: int, width: int, draws: Draws) -> NDArray[np.uint8]:
    """A background, uint8 [H, W]: a gradient between four brightnesses in the corners, under noise; over it a
    patch of noise for every 2048 cells and a stroke for every 1024, at least one of each."""
    grey = _gradient(height, width, draws)
    grey += draws.octets(height, width) * np.float32(_NOISE / 255) - np.float32(_NOISE / 2)
    canvas = grey.clip(0, 255).astype(np.uint8)
    for _ in range(max(height * width // 2048, 1)):
        _patch(canvas, draws)
    return _strokes(canvas, max(height * width // 1024, 1), draws)


def _gradient(height: int, width: int, draws: Draws) -> NDArray[np.float32]:
    left, right, low_left, low_right = (np.float32(draws.whole(0, _BRIGHTEST)) for _ in range(4))
    x = np.arange(width, dtype=np.float32) / np.float32(width)
    y = np.arange(height, dtype=np.float32)[:, None] / np.float32(height)
    upper, lower = left + x * (right - left), low_left + x * (low_right - low_left)
    return upper + y * (lower - upper)


def _patch(canvas: NDArray[np.uint8], draws: Draws) -> None:
    """Noise in an ellipse, somewhere on the canvas."""
    tall, wide = draws.whole(6, 24), draws.whole(6, 24)
    top, left = (draws.whole(0, max(size - side, 0)) for size, side in zip(canvas.shape, (tall, wide)))
    darkest, spread = draws.whole(0, 160), draws.whole(0, 95)
    area = canvas[top : top + tall, left : left + wide]
    y, x = (2 * np.arange(size) + 1 - size for size in area.shape)  # whole numbers, from the middle, times two
    inside = (y[:, None] * area.shape[1]) ** 2 + (x * area.shape[0]) ** 2 <= area.size**2
    area[inside] = (darkest + draws.octets(*area.shape) * np.float32(spread / 255)).astype(np.uint8)[inside]


def _strokes(canvas: NDArray[np.uint8], count: int, draws: Draws) -> NDArray[np.uint8]:
    height, width = canvas.shape
    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)
    for _ in range(count):
        y, x = draws.whole(0, height - 1), draws.whole(0, width - 1)
        end = x + draws.whole(-40, 40), y + draws.whole(-40, 40)
        pen.line([(x, y), end], fill=draws.whole(0, 255), width=draws.whole(1, 2))
    return np.array(image)
