from typing import Any

import pytest
from pydantic import ValidationError

from app.contract.axis import MOST_VALUES, FreeAxis
from app.contract.schema import Contract
from app.contract.tensor import Tensor
from tests import graphs

AXES = {"H": FreeAxis(least=4, most=64, multiple_of=4), "W": FreeAxis(least=2, most=50)}
PICTURE = Tensor(name="input", dtype="float32", shape=("B", 1, "H", "W"), unit="pixel", range=(0, 1))


def contract(given: Tensor = PICTURE, axes: Any = None) -> Contract:
    return graphs.classifier(given, "ab", axes=AXES if axes is None else axes)[1]


def changed(**change: Any) -> Tensor:
    return Tensor.model_validate({**PICTURE.model_dump(), **change})


@pytest.mark.parametrize(("size", "taken"), [(4, True), (8, True), (64, True), (0, False), (6, False), (68, False)])
def test_it_takes_multiples_between_its_bounds(size: int, taken: bool) -> None:
    assert AXES["H"].takes(size) is taken
    assert (AXES["H"].expected, AXES["W"].expected) == ("4 to 64 and a multiple of 4", "2 to 50")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"least": 9, "most": 8}, "least must not be above most"),
        ({"least": 2, "most": 8, "multiple_of": 4}, "must be multiples of 4"),
        ({"least": 4, "most": 10, "multiple_of": 4}, "must be multiples of 4"),
        ({"least": 0, "most": 8}, "greater than or equal to 1"),
        ({"least": 1, "most": 8, "multiple_of": 0}, "greater than or equal to 1"),
        ({"least": 1, "most": 2**20 + 1}, "less than or equal to"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FreeAxis(**fields)


def test_the_letters_of_a_shape_are_those_of_the_axes() -> None:
    with pytest.raises(ValidationError, match="axes must bound W"):
        contract(axes={"H": AXES["H"]})
    with pytest.raises(ValidationError, match=r"axes\.T must be the letter of an axis"):
        contract(axes={**AXES, "T": AXES["H"]})
    with pytest.raises(ValidationError, match=r"axes\.K must be the letter of an axis .* other than B, N, K and D"):
        contract(changed(shape=("B", "K", "H", "W")), axes={**AXES, "K": AXES["H"]})


def test_a_largest_row_beyond_reason_is_refused() -> None:
    with pytest.raises(ValidationError, match=f"at most {MOST_VALUES} values, got {2**36}"):
        contract(axes={letter: FreeAxis(least=1, most=2**18) for letter in "HW"})


def test_pictures_of_free_size_are_not_resized() -> None:
    with pytest.raises(ValidationError, match=r"inputs\.0\.resize must be absent"):
        contract(changed(layout="BCHW", colour="grey", resize="crop"))


def test_the_size_of_a_row_is_checked_axis_by_axis() -> None:
    found = contract()
    assert (found.row_sizes(PICTURE, "least"), found.row_sizes(PICTURE, "most")) == ((1, 4, 2), (1, 64, 50))
    assert found.misfit(PICTURE, (1, 8, 3)) is None
    assert found.misfit(PICTURE, (2, 8, 3)) == (1, "expected 1 here, got 2")
    assert found.misfit(PICTURE, (1, 6, 3)) == (2, "expected H = 4 to 64 and a multiple of 4, got 6")
    assert found.misfit(PICTURE, (1, 8, 51)) == (3, "expected W = 2 to 50, got 51")


def test_a_letter_that_stands_twice_is_one_size() -> None:
    square = changed(shape=("B", 1, "H", "H"))
    found = contract(square, axes={"H": AXES["H"]})
    assert found.misfit(square, (1, 8, 8)) is None
    assert found.misfit(square, (1, 8, 12)) == (3, "expected the same H on all its axes, got 8 and 12")
