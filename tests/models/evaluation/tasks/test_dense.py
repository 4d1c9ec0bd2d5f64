import numpy as np
import pytest

from models.evaluation import cells, head_session
from models.evaluation.answers import Outputs
from models.evaluation.head_session import HeadSession
from models.evaluation.risk_control import LossCurves
from models.evaluation.tasks.dense import Sample, kept_curves, row_outputs, sample
from models.evaluation.tasks.task import CalibrationRows
from tests import artefacts, dense_graphs
from tests.models.evaluation.tasks.segmented import COUNT, SIZES, K, segmented

SPLIT = segmented()
FITTING = np.arange(0, COUNT, 2)


def drawn() -> Sample:
    model, contract = dense_graphs.segmentation()
    rows = CalibrationRows(SPLIT.inputs, SPLIT.labels, FITTING, np.arange(1, COUNT, 2))
    return sample(HeadSession(model, contract, contract.head), rows, SPLIT.labels >= 0, ["logits"], answers=K)


def test_cells_keep_their_labels_and_the_half_of_their_row() -> None:
    logits = artefacts.run(dense_graphs.segmentation()[0], SPLIT.inputs, ["logits"])["logits"]
    within = SPLIT.labels >= 0
    found = drawn()
    np.testing.assert_allclose(found.outputs["logits"], np.moveaxis(logits, (1, 2), (3, 4))[within], rtol=1e-5)
    np.testing.assert_array_equal(found.labels, SPLIT.labels[within])
    rows = np.broadcast_to(np.arange(COUNT)[:, None, None], within.shape)[within]
    np.testing.assert_array_equal(found.fitting, rows % 2 == 0)


def test_some_cells_are_the_same_of_all_rows() -> None:
    logits = artefacts.run(dense_graphs.segmentation()[0], SPLIT.inputs, ["logits"])["logits"]
    found = drawn()
    assert found.same_labels.shape == (COUNT, 64)
    places = np.random.default_rng(0).permutation(SIZES[0] * SIZES[1])[:64]
    np.testing.assert_array_equal(found.same_labels, SPLIT.labels.reshape(COUNT, -1)[:, places])
    expected = logits.reshape(*logits.shape[:3], -1)[..., places]
    np.testing.assert_allclose(found.same_outputs["logits"], expected, rtol=1e-5)


def test_it_does_not_matter_how_many_rows_are_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells.sample_cells, "__defaults__", (500,))
    whole = drawn()
    monkeypatch.setattr(head_session, "_VALUES_AT_ONCE", 1)
    parts = drawn()
    assert len(whole.labels) == 500
    np.testing.assert_array_equal(parts.labels, whole.labels)
    np.testing.assert_allclose(parts.outputs["logits"], whole.outputs["logits"], rtol=1e-5)


def test_outputs_of_rows_are_known_by_their_names() -> None:
    found: Outputs = {"entropy": np.zeros((2, 3)), "row_entropy": np.zeros(2)}
    assert list(row_outputs(found)) == ["row_entropy"]


def curve(values: int) -> LossCurves:
    return LossCurves(np.array([2]), np.zeros(values, np.int64), np.arange(values, dtype=np.float32))


def test_curves_are_chosen_like_any_rows() -> None:
    found = kept_curves([[curve(row), curve(row)] for row in range(3)])
    assert found.shape == (3, 2)
    assert [len(one.values) for one in found[np.array([2, 0]), 1]] == [2, 0]
