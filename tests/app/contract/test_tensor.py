from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from app.contract.tensor import Tensor


def tensor(**changes: Any) -> Tensor:
    return Tensor(**{"name": "input", "dtype": "float32", "shape": ("B", 2), "unit": "feature", **changes})


@pytest.mark.parametrize(
    "shape",
    [(), (2,), ("N", 2), (2, "B"), ("B", "B"), ("B", 0), ("B", -1), ("B", "x"), ("B", "HW"), ("B", "H/0"), ("B", "H/")],
)
def test_a_shape_begins_with_the_batch_and_has_sizes_or_letters(shape: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError, match="shape"):
        tensor(shape=shape)


@pytest.mark.parametrize("limits", [(1, 1), (1, 0), (float("nan"), 1), (0, float("inf"))])
def test_a_range_goes_upwards_and_is_finite(limits: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="range"):
        tensor(range=limits)


CHANNELS = {"range": (-1, 100), "channel_ranges": ((-1, 0.1), (0, 100))}


def test_channels_may_have_a_range_each() -> None:
    given = tensor(**CHANNELS)
    values = np.array([[0.1, 0], [-1, 100], [0.2, 50], [0, -0.5], [np.nan, 101]])
    expected = [[False, False], [False, False], [True, False], [False, True], [False, True]]
    for dtype in (np.float64, np.float32):
        assert given.outside(values.astype(dtype)).tolist() == expected
    deep = tensor(shape=("B", 2, 3), **CHANNELS)
    assert np.argwhere(deep.outside(np.full((1, 2, 3), 0.5))).tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 2]]
    assert given.expected((4, 1)) == "values in [0, 100] (feature)"
    assert given.expected() == "values in [-1, 100] (feature)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_ranges": ((-1, 0.1), (0, 100), (0, 1))}, "one pair for each"),
        ({"shape": ("B",)}, "one pair for each"),
        ({"channel_ranges": ((-1, 100), (5, 5))}, "must be .smallest, largest."),
        ({"range": (-1, 99)}, "range must span channel_ranges"),
        ({"range": None}, "range must span channel_ranges"),
        ({"layout": "BC"}, "an image has one range"),
    ],
)
def test_ranges_of_channels_that_contradict_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tensor(**{**CHANNELS, **change})


@pytest.mark.parametrize("change", [{"dtype": "float64"}, {"colour": "cmyk"}, {"resize": "pad"}, {"more": 1}])
def test_words_that_it_does_not_know_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tensor(**change)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"range": (-1, 0.5)}, "values in [-1, 0.5] (feature)"),
        ({"unit": "", "range": (0, 1)}, "values in [0, 1]"),
        ({"unit": "", "dtype": "uint8"}, "whole numbers in [0, 255]"),
        ({"dtype": "int64", "range": (-1, 9)}, "whole numbers in [-1, 9] (feature)"),
        ({"dtype": "int32", "unit": ""}, "whole numbers in [-2147483648, 2147483647]"),
        ({"dtype": "bool"}, "true or false"),
        ({}, "finite numbers (feature)"),
        ({"unit": ""}, "finite numbers"),
    ],
)
def test_it_tells_what_a_value_must_be(changes: dict[str, Any], expected: str) -> None:
    assert tensor(**changes).expected() == expected


def test_every_letter_has_its_place() -> None:
    assert tensor(shape=("B", "N", "K", 3)).shape == ("B", "N", "K", 3)
    assert tensor(shape=("B",)).shape == ("B",)
    assert tensor(range=(-1, 1)).range == (-1.0, 1.0)


def test_features_and_symbols_have_names() -> None:
    assert tensor(features=("x", "y")).features == ("x", "y")
    letters = tensor(dtype="int64", shape=("B", "T"), range=(0, 3), symbols=("", "", "a", "b"))
    assert letters.symbols == ("", "", "a", "b")
    assert tensor(dtype="uint8", shape=("B", "T"), symbols=tuple(map(str, range(256)))).symbols[255] == "255"
    assert not {"features", "symbols"} & tensor().model_dump().keys()  # a document without them stays as it was


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": ("x",)}, r"features must name each of an input \[B, 1\], got \['B', 2\]"),
        ({"features": ("x", "y"), "shape": ("B", 2, 3)}, "features must name each"),
        ({"features": ("x", "y"), "shape": ("B", "T")}, "features must name each"),
        ({"features": ("x", "x")}, "features must have different names"),
        ({"features": ("x", "")}, "none of them empty"),
        ({"symbols": ("a", "b")}, "symbols must be as many as there are ids"),
        ({"symbols": ("a", "b"), "dtype": "int64"}, "symbols must be as many as there are ids"),
        ({"symbols": ("a", "b"), "dtype": "int64", "range": (0, 2)}, "from 0 to the largest of the range, got 2"),
        ({"symbols": ("a", "b"), "dtype": "int64", "range": (-1, 1)}, "from 0 to the largest of the range, got 2"),
        ({"symbols": ("a", "a"), "dtype": "int64", "range": (0, 1)}, "symbols must differ"),
        ({"symbols": (1, 2), "dtype": "int64", "range": (0, 1)}, "valid string"),
    ],
)
def test_names_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        tensor(**change)
