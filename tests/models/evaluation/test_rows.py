from typing import Any

import numpy as np
import pytest

from models.data import DatasetError, Split
from models.evaluation.rows import check_rows
from tests import graphs
from tests.app.engine.fakes import CONTRACT

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
