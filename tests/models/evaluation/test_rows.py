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
        (GOOD * 2, np.array([0, 1]), r"expected finite values in \[0, 1\] \(feature\), got 0 to 2"),
        (GOOD - 1, np.array([0, 1]), "got -1 to 0"),
        (GOOD * np.float32(np.nan), np.array([0, 1]), "got nan to nan"),
    ],
)
def test_rows_that_do_not_fit_are_named(inputs: Any, labels: Any, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        check_rows(UNIT, Split(inputs, labels))


def test_rows_that_fit_pass() -> None:
    check_rows(UNIT, Split(GOOD, np.array([0, 1])))
    check_rows(CONTRACT, Split(GOOD * 9, np.array([0, 1])))


def test_a_regressor_s_labels_are_a_number_for_each_target() -> None:
    _, contract = graphs.regressor(aleatoric=True)
    check_rows(contract, Split(graphs.ROWS, np.zeros((len(graphs.ROWS), 2), np.float32)))
    with pytest.raises(DatasetError, match="labels"):
        check_rows(contract, Split(graphs.ROWS, np.zeros((len(graphs.ROWS), 1), np.float32)))
