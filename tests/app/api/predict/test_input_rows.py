import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract.tensor import Tensor
from tests.app.api.predict.reading import IDS, LEVEL, SEVERAL, contract_of, refusal, rows_of

ONE = contract_of(LEVEL)


def level(rows: int = 1) -> NDArray[np.float32]:
    return np.zeros((rows, 2), np.float32)


def test_the_only_input_needs_no_name_and_has_the_field_of_all() -> None:
    rows, asked = rows_of(ONE), []

    def read(given: Tensor, field: str) -> NDArray[np.float32]:
        asked.append((given, field))
        return level(3)

    rows.add(None, read)
    assert asked == [(LEVEL, "inputs")]
    assert rows.sizes == {"B": 3}
    assert rows.whole().keys() == {"level"}
    assert refusal(lambda: rows.add("level", read)) == ("inputs.level", "expected once")


def test_what_is_wrong_is_said_before_anything_is_read() -> None:
    def read(given: Tensor, field: str) -> NDArray[np.float32]:
        raise AssertionError("it was read")

    several = rows_of(SEVERAL)
    assert refusal(lambda: several.add(None, read)) == (
        "inputs", "expected each input by its name; there are: ids, mark, level",
    )  # fmt: skip
    assert refusal(lambda: several.add("x" * 1000, read)) == (
        f"inputs.{'x' * 100}", "unknown input; there are: ids, mark, level",
    )  # fmt: skip
    several.add("level", lambda *_: level())
    assert refusal(lambda: several.add("level", read)) == ("inputs.level", "expected once")


def test_all_have_as_many_rows() -> None:
    rows = rows_of(SEVERAL)
    rows.add("level", lambda *_: level(2))
    message = "expected 2 rows, as many as the other inputs have, got 3"
    assert refusal(lambda: rows.add("ids", lambda *_: np.zeros((3, 4), np.int64))) == ("inputs.ids", message)


def test_a_letter_has_one_size_on_all_inputs() -> None:
    rows = rows_of(SEVERAL)
    mark = SEVERAL.inputs[1]
    assert rows.misfit(IDS, (4,)) is None
    assert rows.misfit(mark, (4,)) is None
    assert rows.misfit(mark, (6,)) == (1, "expected the same T on all its axes, got 4 and 6")
    assert rows.misfit(LEVEL, (3,)) == (1, "expected 2 here, got 3")
    assert rows.sizes == {"T": 4}


@pytest.mark.parametrize(("missing", "field"), [("ids", "inputs.ids"), ("level", "inputs.level")])
def test_an_input_that_is_missing_is_named(missing: str, field: str) -> None:
    rows = rows_of(SEVERAL)
    for name, values in {"ids": np.zeros((1, 4), np.int64), "level": level()}.items():
        if name != missing:
            rows.add(name, lambda *_, values=values: values)
    assert refusal(rows.whole) == (field, "expected this input, too")
    assert refusal(rows_of(ONE).whole) == ("inputs", "expected this input, too")


def test_marks_that_were_left_out_say_that_all_is_real() -> None:
    rows = rows_of(SEVERAL)
    rows.add("level", lambda *_: level(2))
    rows.add("ids", lambda *_: np.zeros((2, 6), np.int64))
    found = rows.whole()
    assert list(found) == ["ids", "mark", "level"]
    assert (found["mark"].dtype, found["mark"].shape) == (np.bool_, (2, 6))
    assert found["mark"].all()
