import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.api.predict import png

PALETTE = np.random.default_rng(1).bytes(3 * 256)


def pixels_of(shape: tuple[int, int], dtype: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def read(file: bytes) -> Image.Image:
    with Image.open(io.BytesIO(file), formats=["PNG"]) as image:
        image.verify()  # every checksum, which opening alone does not look at
    return Image.open(io.BytesIO(file), formats=["PNG"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (96, 64), (300, 513)])
@pytest.mark.parametrize(("dtype", "mode"), [(np.uint8, "L"), (np.uint16, "I;16")])
def test_grey_pixels_are_read_back(shape: tuple[int, int], dtype: type[np.uint8], mode: str) -> None:
    pixels = pixels_of(shape, dtype)
    image = read(png.write(pixels))
    assert image.mode == mode
    assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("colours", [1, 2, 11, 256])
def test_a_palette_keeps_the_values_and_adds_their_colours(colours: int) -> None:
    pixels = pixels_of((40, 30), np.uint8) % np.uint16(colours)
    file = png.write(pixels.astype(np.uint8), PALETTE[: 3 * colours])
    image = read(file)
    assert (image.mode, file[24]) == ("P", 8)  # bits, also where fewer would do
    assert np.array_equal(np.asarray(image), pixels)
    expected = np.frombuffer(PALETTE, np.uint8).reshape(256, 3)[pixels]
    assert np.array_equal(np.asarray(image.convert("RGB")), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_need_not_lie_in_order(dtype: type[np.uint8]) -> None:
    pixels = pixels_of((20, 30), dtype).T[::2]
    assert np.array_equal(np.asarray(read(png.write(pixels))), pixels)


def test_even_lines_are_packed() -> None:
    assert len(png.write(np.full((512, 512), 7, np.uint8))) < 2000
