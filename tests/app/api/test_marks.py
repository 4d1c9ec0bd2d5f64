import numpy as np

from app.api.marks import complete
from app.contract.axis import FreeAxis, Padding
from app.contract.tensor import Tensor
from tests.app.api.predict.reading import IDS, LEVEL, MARK, SEVERAL, contract_of

LEVELS = np.zeros((2, 2), np.float32)


def test_the_only_input_is_left_alone() -> None:
    feeds = {"level": LEVELS}
    assert complete(contract_of(LEVEL), feeds) is feeds


def test_a_mark_that_was_left_out_is_true_wherever_there_are_entries() -> None:
    found = complete(SEVERAL, {"level": LEVELS, "ids": np.zeros((2, 6), np.int64)})
    assert list(found) == ["ids", "mark", "level"]
    assert found["mark"].tolist() == [[True] * 6] * 2


def test_a_mark_that_was_given_stays() -> None:
    marks = np.array([[True, False]])
    assert complete(SEVERAL, {"mark": marks, "ids": np.zeros((1, 2), np.int64)})["mark"] is marks


def test_without_the_input_that_it_marks_there_is_none() -> None:
    assert complete(SEVERAL, {"level": LEVELS}).keys() == {"level"}


def test_it_has_the_dtype_and_the_axis_that_its_contract_names() -> None:
    steps = Tensor(name="steps", dtype="float32", shape=("B", 3, "S"), unit="m")
    valid = Tensor(name="valid", dtype="int32", shape=("B", "S"), unit="")
    axes = {
        "T": FreeAxis(least=1, most=9, padding=Padding(mark="mark")),
        "S": FreeAxis(least=1, most=9, padding=Padding(mark="valid")),
    }
    contract = contract_of(valid, steps, IDS, MARK, **axes)
    found = complete(contract, {"ids": np.zeros((2, 4), np.int64), "steps": np.zeros((2, 3, 5), np.float32)})
    assert {name: (values.dtype.name, values.shape) for name, values in found.items()} == {
        "valid": ("int32", (2, 5)), "steps": ("float32", (2, 3, 5)), "ids": ("int64", (2, 4)), "mark": ("bool", (2, 4)),
    }  # fmt: skip
    assert found["valid"].all()
