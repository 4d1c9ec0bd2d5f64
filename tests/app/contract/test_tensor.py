from typing import Any

import pytest
from pydantic import ValidationError

from app.contract.tensor import Tensor


def tensor(**changes: Any) -> Tensor:
    return Tensor(**{"name": "input", "dtype": "float32", "shape": ("B", 2), "unit": "feature", **changes})


@pytest.mark.parametrize("shape", [(), (2,), ("N", 2), (2, "B"), ("B", "B"), ("B", 0), ("B", -1), ("B", "X")])
def test_a_shape_begins_with_the_batch_and_has_sizes_or_letters(shape: tuple[Any, ...]) -> None:
    with pytest.raises(ValidationError, match="shape"):
        tensor(shape=shape)


@pytest.mark.parametrize("limits", [(1, 1), (1, 0), (float("nan"), 1), (0, float("inf"))])
def test_a_range_goes_upwards_and_is_finite(limits: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match="range"):
        tensor(range=limits)


@pytest.mark.parametrize("change", [{"dtype": "float64"}, {"colour": "cmyk"}, {"resize": "pad"}, {"more": 1}])
def test_words_that_it_does_not_know_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tensor(**change)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"range": (-1, 0.5)}, "values in [-1, 0.5] (feature)"),
        ({"unit": "", "range": (0, 1)}, "values in [0, 1]"),
        ({"unit": "", "dtype": "uint8"}, "values in [0, 255]"),
        ({}, "finite numbers (feature)"),
        ({"unit": ""}, "finite numbers"),
    ],
)
def test_it_tells_what_a_value_must_be(changes: dict[str, Any], expected: str) -> None:
    assert tensor(**changes).expected == expected


def test_every_letter_has_its_place() -> None:
    assert tensor(shape=("B", "N", "K", 3)).shape == ("B", "N", "K", 3)
    assert tensor(shape=("B",)).shape == ("B",)
    assert tensor(range=(-1, 1)).range == (-1.0, 1.0)
