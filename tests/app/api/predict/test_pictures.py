import base64
import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import Image

from app.api.predict import pictures
from app.api.predict.colours import CLASSES, VIRIDIS
from app.api.predict.pictures import MapRange, ScorePicture
from app.errors import InvalidInput, OutputNotFinite

ENTROPY = MapRange(0, math.log(11))
ENTROPIES = np.random.default_rng(0).uniform(0, math.log(11), (48, 80)).astype(np.float32)
FINITE = st.floats(-(2.0**100), 2.0**100, width=32)


def opened(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file), formats=["PNG"])


def values_of(picture: ScorePicture, bits: int) -> NDArray[np.float64]:
    """What a client makes of the pixels and of the header."""
    least, most = map(float, picture.range.spell().split(" "))
    return least + (most - least) * np.asarray(opened(picture.png), np.float64) / (2**bits - 1)


@pytest.mark.parametrize("classes", [1, 2, 11, 256])
def test_a_map_of_classes_is_read_back_as_indices(classes: int) -> None:
    indices = np.random.default_rng(0).integers(0, classes, (96, 64))
    image = opened(pictures.of_classes(indices, classes, "prediction"))
    assert (image.mode, image.size) == ("P", (64, 96))
    assert np.array_equal(np.asarray(image), indices)
    colours = np.frombuffer(CLASSES, np.uint8).reshape(256, 3)
    assert np.array_equal(np.asarray(image.convert("RGB")), colours[indices])


def test_a_label_is_off_or_on() -> None:
    on = np.random.default_rng(0).random((5, 6)) > 0.5
    assert np.array_equal(np.asarray(opened(pictures.of_classes(on, 2, "prediction"))), on)


def test_more_classes_than_colours_are_refused_with_the_way_to_ask() -> None:
    with pytest.raises(InvalidInput, match=r"at most 256 classes, prediction has 257;.*x-npz") as caught:
        pictures.of_classes(np.zeros((2, 2), np.int64), 257, "prediction")
    assert caught.value.field == "outputs"


@pytest.mark.parametrize("index", [-1, 3, 256])
def test_an_index_that_is_no_class_is_never_written(index: int) -> None:
    with pytest.raises(ValueError, match="prediction has an index outside 0 to 2"):
        pictures.of_classes(np.array([[0, index]]), 3, "prediction")


@pytest.mark.parametrize(("bits", "mode"), [(8, "L"), (16, "I;16")])
@pytest.mark.parametrize("bounds", [ENTROPY, None])
def test_grey_is_within_half_a_step(bits: Any, mode: str, bounds: MapRange | None) -> None:
    picture = pictures.grey(ENTROPIES, "entropy", bounds, bits)
    assert opened(picture.png).mode == mode
    assert picture.range == (bounds or (ENTROPIES.min(), ENTROPIES.max()))
    step = (picture.range.most - picture.range.least) / (2**bits - 1)
    error = np.abs(values_of(picture, bits) - ENTROPIES).max()
    assert 0.45 * step < error <= 0.5 * step * (1 + 1e-9)


@given(arrays.arrays(np.float32, (3, 2), elements=FINITE))
def test_any_finite_map_is_within_half_a_step_of_16_bits(values: NDArray[np.float32]) -> None:
    picture = pictures.grey(values, "energy", bits=16)
    half = (picture.range.most - picture.range.least) / 65535 / 2
    rounding = 4 * np.spacing(np.abs(values).max().astype(np.float64))
    assert np.abs(values_of(picture, 16) - values).max() <= half * (1 + 1e-9) + rounding


@given(FINITE, FINITE)
def test_the_range_is_read_back_exactly(least: float, most: float) -> None:
    assert tuple(map(float, MapRange(least, most).spell().split(" "))) == (least, most)


def test_the_ends_are_black_and_white_and_what_lies_beyond_is_so_too() -> None:
    values = np.array([[-1, 0, 1, 2, 3]], np.float32)
    assert np.asarray(opened(pictures.grey(values, "entropy", MapRange(0, 2)).png)).tolist() == [[0, 0, 128, 255, 255]]


@pytest.mark.parametrize("bounds", [None, MapRange(0.25, 0.25)])
def test_a_map_of_one_value_is_black_and_exact(bounds: MapRange | None) -> None:
    picture = pictures.grey(np.full((4, 4), 0.25, np.float32), "entropy", bounds)
    assert picture.range == (0.25, 0.25)
    assert (values_of(picture, 8) == 0.25).all()


def test_the_largest_numbers_do_not_overflow() -> None:
    limit = np.finfo(np.float32).max
    picture = pictures.grey(np.array([[-limit, 0, limit]], np.float32), "energy", bits=16)
    assert np.asarray(opened(picture.png)).tolist() == [[0, 32768, 65535]]


def test_viridis_colours_the_pixels_of_8_bits() -> None:
    picture, plain = pictures.coloured(ENTROPIES, "entropy", ENTROPY), pictures.grey(ENTROPIES, "entropy", ENTROPY)
    image, pixels = opened(picture.png), np.asarray(opened(plain.png))
    assert (image.mode, picture.range) == ("P", plain.range)
    assert np.array_equal(np.asarray(image), pixels)
    assert np.array_equal(np.asarray(image.convert("RGB")), np.frombuffer(VIRIDIS, np.uint8).reshape(256, 3)[pixels])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("bounds", [ENTROPY, None])
@pytest.mark.parametrize("write", [pictures.grey, pictures.coloured])
def test_what_is_not_finite_is_refused(write: Any, bounds: MapRange | None, value: float) -> None:
    values = ENTROPIES.copy()
    values[3, 4] = value
    with pytest.raises(OutputNotFinite, match="entropy holds NaN or infinity"):
        write(values, "entropy", bounds)


@pytest.mark.parametrize("shape", [(), (7,), (2, 5, 5), (0, 4)])
@pytest.mark.parametrize("kind", ["classes", "grey", "coloured"])
def test_only_maps_become_pictures(kind: str, shape: tuple[int, ...]) -> None:
    def write() -> object:
        if kind == "classes":
            return pictures.of_classes(np.zeros(shape, np.int64), 3, "x")
        return getattr(pictures, kind)(np.zeros(shape, np.float32), "x")

    with pytest.raises(InvalidInput, match=r"expected a map \[H, W\].*application/x-npz") as caught:
        write()
    assert f"x is {list(shape)};" in caught.value.message
    assert caught.value.field == "outputs"


@pytest.mark.parametrize("bounds", [(1, 0), (math.nan, 1), (0, math.inf), (-math.inf, 0)])
def test_bounds_are_finite_and_in_order(bounds: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="expected finite bounds in order"):
        pictures.grey(ENTROPIES, "entropy", MapRange(*bounds))


def test_the_text_of_a_picture_is_base64() -> None:
    file = pictures.grey(ENTROPIES, "entropy").png
    assert base64.b64decode(pictures.as_text(file), validate=True) == file
