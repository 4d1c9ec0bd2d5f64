from typing import Any

import numpy as np
import pytest

from app.contract.axis import FreeAxis
from app.contract.tensor import Dtype, Tensor
from models.data import DatasetError, Split
from models.evaluation.rows import check_rows
from tests import graphs
from tests.models.evaluation.answered import CONTRACT
from tests.models.evaluation.two_heads import two_heads

(GIVEN,) = CONTRACT.inputs
UNIT = CONTRACT.model_copy(update={"inputs": (GIVEN.model_copy(update={"range": (0.0, 1.0)}),)})
GOOD = np.array([[0, 1], [0.5, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (GOOD.tolist(), np.array([0, 1]), "inputs: expected a NumPy array, got list"),
        (GOOD, [0, 1], "labels: expected a NumPy array, got list"),
        (GOOD.astype(np.float64), np.array([0, 1]), r"inputs: expected float32 \['B', 2\], got float64 \[2, 2\]"),
        (GOOD[:, :1], np.array([0, 1]), r"inputs: expected float32 \['B', 2\], got float32 \[2, 1\]"),
        (GOOD, np.array([0, 2]), "labels"),
        (GOOD, np.array([0, -1]), "labels"),
        (GOOD[:0], np.zeros(0, np.int64), "rows"),
        (GOOD, np.array([0.0, 1.0]), "labels: expected whole numbers, one class index for each row, got float64$"),
        (GOOD, np.array([[0], [1]]), r"labels: expected one class index for each of the 2 rows, got \[2, 1\]"),
        (GOOD, np.array([0, 2]), r"labels\[1\]: expected 0 to 1 for the model's 2 classes, got 2; 1 of 2"),
        (GOOD * 2, np.array([0, 1]), r"inputs\[0\]\[1\]: expected values in \[0, 1\] \(feature\), got 2; 1 of 2 rows"),
        (GOOD - 1, np.array([0, 1]), r"inputs\[0\]\[0\]: .*, got -1; 2 of 2 rows"),
        (
            np.where([[False], [True]], np.float32(np.nan), GOOD),
            np.array([0, 1]),
            r"inputs\[1\]\[0\]: .*, got nan; 1 of 2 rows",
        ),
    ],
)
def test_rows_that_do_not_fit_are_named(inputs: Any, labels: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        check_rows(UNIT, Split(inputs, labels))


def test_without_range_and_unit_finite_numbers_are_expected() -> None:
    plain = CONTRACT.model_copy(update={"inputs": (GIVEN.model_copy(update={"unit": ""}),)})
    with pytest.raises(DatasetError, match=r"inputs\[0\]\[1\]: expected finite numbers, got inf; 1 of 2 rows"):
        check_rows(plain, Split(np.where(GOOD == 1, np.float32(np.inf), GOOD), np.array([0, 1])))


def test_every_feature_is_held_against_its_own_range() -> None:
    ranges = {"range": (0.0, 9.0), "channel_ranges": ((0.0, 1.0), (1.0, 9.0))}
    of = CONTRACT.model_copy(update={"inputs": (GIVEN.model_copy(update=ranges),)})
    check_rows(of, Split(np.array([[0, 1], [1, 9]], np.float32), np.array([0, 1])))
    with pytest.raises(DatasetError, match=r"inputs\[1\]\[1\]: expected values in \[1, 9\] \(feature\), got 0.5"):
        check_rows(of, Split(GOOD, np.array([0, 1])))


def test_rows_that_fit_pass() -> None:
    check_rows(UNIT, Split(GOOD, np.array([0, 1])))
    check_rows(CONTRACT, Split(GOOD * 9, np.array([0, 1])))


def test_a_regressor_s_labels_are_a_number_for_each_target() -> None:
    _, contract = graphs.regressor(aleatoric=True)
    check_rows(contract, Split(graphs.ROWS, np.zeros((len(graphs.ROWS), 2), np.float32)))
    with pytest.raises(DatasetError, match="labels"):
        check_rows(contract, Split(graphs.ROWS, np.zeros((len(graphs.ROWS), 1), np.float32)))
    labels = np.zeros((len(graphs.ROWS), 2), np.float32)
    labels[3, 1] = np.nan
    with pytest.raises(DatasetError, match=r"labels\[3\]\[1\]: expected finite numbers, got nan"):
        check_rows(contract, Split(graphs.ROWS, labels))


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool", "uint8"])
def test_inputs_may_be_whole_numbers_and_booleans(dtype: Dtype) -> None:
    whole = CONTRACT.model_copy(update={"inputs": (Tensor(name="ids", dtype=dtype, shape=("B", 2), unit="token"),)})
    check_rows(whole, Split(np.ones((2, 2), dtype), np.array([0, 1])))
    with pytest.raises(DatasetError, match=rf"inputs: expected {dtype} \['B', 2\], got float32"):
        check_rows(whole, Split(GOOD, np.array([0, 1])))


def test_whole_numbers_are_held_against_their_range() -> None:
    ids = Tensor(name="ids", dtype="int64", shape=("B", 2), unit="token", range=(0, 29))
    with pytest.raises(DatasetError, match=r"inputs\[0\]\[1\]: expected whole numbers in \[0, 29\] .token., got 30; 1"):
        check_rows(
            CONTRACT.model_copy(update={"inputs": (ids,)}), Split(np.array([[29, 30], [0, 0]]), np.array([0, 1]))
        )


SCENE, STATE = np.zeros((2, 4), np.float32), np.zeros((2, 3), np.float32)
ACTION, STEERING = np.array([0, 2]), np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        ({"state": STATE - 1}, {}, r"inputs\.state\[0\]\[0\]: expected values in \[0, 1\] .* got -1; 2 of 2 rows"),
        ({"scene": SCENE[:, :3]}, {}, r"inputs\.scene: expected float32 \['B', 4\], got float32 \[2, 3\]"),
        ({"scene": SCENE[:1]}, {}, "inputs: expected as many rows of each, got 1 of scene, 2 of state"),
        ({}, {"action": ACTION + 1}, r"action: labels\[1\]: expected 0 to 2 for the model's 3 classes, got 3"),
        ({}, {"steering": STEERING[:, :1]}, r"steering: labels: expected true values \[2, 2\]"),
        ({}, {"steering": [1]}, r"labels\.steering: expected a NumPy array, got list"),
        ({}, {"other": ACTION}, "labels: expected action, steering, got action, steering, other"),
    ],
)
def test_of_several_inputs_and_heads_the_one_that_does_not_fit_is_named(
    inputs: dict[str, Any], labels: dict[str, Any], message: str
) -> None:
    given, truth = {"scene": SCENE, "state": STATE}, {"action": ACTION, "steering": STEERING}
    contract = two_heads()[1]
    check_rows(contract, Split(given, truth))
    with pytest.raises(DatasetError, match=message):
        check_rows(contract, Split({**given, **inputs}, {**truth, **labels}))


def test_a_letter_is_one_size_on_all_inputs() -> None:
    ids, mark = (Tensor(name=name, dtype="int64", shape=("B", "T"), unit="") for name in ("ids", "mark"))
    contract = CONTRACT.model_copy(update={"inputs": (ids, mark), "axes": {"T": FreeAxis(least=1, most=9)}})
    rows = np.zeros((2, 5), np.int64)
    check_rows(contract, Split({"ids": rows, "mark": rows}, np.array([0, 1])))
    with pytest.raises(DatasetError, match=r"inputs.mark: .*: expected the same T on all its axes, got 5 and 4"):
        check_rows(contract, Split({"ids": rows, "mark": rows[:, :4]}, np.array([0, 1])))
