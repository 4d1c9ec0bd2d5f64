"""Against the figures of labels without a grid, to which every cell is a row."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation import dense_label_figures, multilabel_figures
from models.evaluation.answers import Answers
from tests import graphs
from tests.models.evaluation.answered import calibration

ROWS, N, K, GRID, TEMPERATURE = 20, 2, 3, (3, 4), 1.5
rng = np.random.default_rng(0)
LOGITS = rng.normal(0, 2, (ROWS, N, K, *GRID)).astype(np.float32)
SUBMODELS = 1 / (1 + np.exp(-LOGITS / TEMPERATURE))
FOUND = {
    "logits": LOGITS, "probabilities": SUBMODELS.mean(axis=1), "prediction": SUBMODELS.mean(axis=1) > 0.5,
    "entropy": rng.random((ROWS, K, *GRID)),
}  # fmt: skip
TRUTH = rng.random((ROWS, K, *GRID)) < SUBMODELS.mean(axis=1)


def cells(array: NDArray[Any]) -> NDArray[Any]:
    """[B, …, *G] as rows without a grid."""
    return np.moveaxis(array, (-2, -1), (1, 2)).reshape(-1, *array.shape[1:-2])


def test_figures_of_cells_are_those_of_rows_without_a_grid() -> None:
    warm = calibration().model_copy(update={"temperature": TEMPERATURE})
    head = graphs.multilabel()[1].head.model_copy(update={"calibration": warm})
    answers = Answers({name: cells(values) for name, values in FOUND.items()}, cells(TRUTH))
    expected = multilabel_figures.reached(head, "mine", answers)
    dense = head.model_copy(update={"grid": GRID})
    rows = dense_label_figures.summaries(FOUND, TRUTH, TEMPERATURE) | {
        "row_entropy": FOUND["entropy"].mean(axis=(1, 2, 3))
    }
    found = dense_label_figures.reached(dense, "mine", rows)
    for name, value in expected.model_dump(exclude={"data", "rows", "reliability", "risk_coverage"}).items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-5), name
    assert found.reliability == expected.reliability
    assert sum(one.count for one in found.reliability) == TRUTH.size
    assert found.risk_coverage["entropy"][-1].risk == pytest.approx(rows["wrong"].mean(), rel=1e-4)
    assert (found.rows, expected.rows) == (ROWS, ROWS * 12)


def test_a_row_is_wrong_by_the_share_of_its_labels() -> None:
    found = dense_label_figures.summaries(FOUND, TRUTH, TEMPERATURE)
    np.testing.assert_allclose(found["wrong"], (FOUND["prediction"] != TRUTH).mean(axis=(1, 2, 3)))
