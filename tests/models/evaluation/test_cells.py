import numpy as np
import pytest
from numpy.typing import NDArray

from models.evaluation.cells import counted, error_shares, sample_cells
from models.evaluation.likelihood import fit_label_temperature, fit_temperature, fit_variance_factor


def numbered(rows: int, ignored: float = 0.0) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which cells count [rows, 5, 8], and the number of each cell [rows, 5, 8]."""
    counts = np.random.default_rng(0).random((rows, 5, 8)) >= ignored
    return counts, np.arange(counts.size).reshape(counts.shape)


def test_labels_below_0_do_not_count() -> None:
    labels = np.array([[[0, -1], [255, -100]]])
    assert counted(labels).tolist() == [[[True, False], [True, False]]]


def test_shares_are_those_of_the_cells_that_count() -> None:
    wrong = np.array([[True, False, True, False], [True, True, False, True], [True, True, True, True]])
    counts = np.array([[True, True, True, False], [True, True, True, True], [False] * 4])
    np.testing.assert_allclose(error_shares(wrong, counts), [2 / 3, 3 / 4, 0])
    np.testing.assert_allclose(error_shares(wrong.reshape(3, 2, 2), counts.reshape(3, 2, 2)), [2 / 3, 3 / 4, 0])
    np.testing.assert_allclose(error_shares(wrong), [1 / 2, 3 / 4, 1])


@pytest.mark.parametrize("most", [100, 333, 1999])
def test_a_sample_has_the_same_share_of_each_row_and_no_cell_twice(most: int) -> None:
    counts, cells = numbered(60, ignored=0.1)
    total = int(counts.sum())
    ((drawn,),) = sample_cells([(counts, (cells,))], total, most)
    assert len(drawn) == most == len(set(drawn.tolist()))
    assert counts.ravel()[drawn].all()
    taken = np.bincount(drawn // 40, minlength=60)
    assert (np.abs(taken - counts.sum(axis=(1, 2)) * most / total) < 1).all()
    # and no place of the grid is preferred
    places = np.bincount(drawn % 40, minlength=40) / counts.sum(axis=0).ravel()
    assert (np.abs(places - most / total) < 5 * np.sqrt(most / total * (1 - most / total) / 60)).all()


def test_a_sample_does_not_depend_on_how_rows_are_chunked() -> None:
    counts, cells = numbered(60, ignored=0.3)
    total = int(counts.sum())
    (whole,) = sample_cells([(counts, (cells,))], total, 200)
    parts = (slice(0, 1), slice(1, 40), slice(40, 60))
    (chunked,) = sample_cells(((counts[part], (cells[part],)) for part in parts), total, 200)
    np.testing.assert_array_equal(whole, chunked)


def test_all_cells_are_taken_where_there_are_few() -> None:
    counts, cells = numbered(7, ignored=0.5)
    ((drawn,),) = sample_cells([(counts, (cells,))], int(counts.sum()), 10_000)
    np.testing.assert_array_equal(drawn, cells[counts])


def test_arrays_keep_their_axes_and_go_together() -> None:
    counts, cells = numbered(9)
    logits = cells[:, None, None] * np.ones((2, 3, 1, 1), np.int64)  # [B, N, K, 5, 8]
    other = cells[:, :2]  # [B, D, 8]: a grid of one axis
    drawn, number = sample_cells([(counts, (logits, cells))], counts.size, 50)
    assert (drawn.shape, number.shape) == ((1, 2, 3, 50), (1, 50))
    np.testing.assert_array_equal(drawn, np.broadcast_to(number[:, None, None], drawn.shape))
    (sequence,) = sample_cells([(np.ones((9, 8), bool), (other,))], 72, 72)
    np.testing.assert_array_equal(sequence, other.transpose(1, 0, 2).reshape(1, 2, 72))


def test_the_number_of_cells_must_be_right() -> None:
    counts, cells = numbered(3)
    for total, chunks in ((119, [(counts, (cells,))]), (121, [(counts, (cells,))]), (0, [])):
        with pytest.raises(ValueError, match=f"cells: expected {total} that count, and at least one, got "):
            sample_cells(chunks, total)


def test_a_scale_fitted_on_a_sample_is_that_of_all_cells() -> None:
    """Cells of a row share much of their logits and of their luck."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (500, 1, 4, 1)) + rng.normal(0, 1, (500, 2, 4, 64))
    labels = (1.5 * logits.mean(axis=1) / 2 + rng.gumbel(0, 1, (500, 4, 64))).argmax(axis=1)
    labels[rng.random(labels.shape) < 0.1] = -1
    counts = counted(labels)
    cells = np.moveaxis(logits, -1, 1)[counts], labels[counts]
    sample = sample_cells([(counts, (logits, labels))], int(counts.sum()), 10_000)
    assert fit_temperature(*sample) == pytest.approx(fit_temperature(*cells), rel=0.03)


def test_labels_and_values_are_sampled_likewise() -> None:
    rng = np.random.default_rng(0)
    logits, truth = rng.normal(0, 2, (300, 2, 3, 4, 4)), rng.normal(0, 1, (300, 3, 4, 4))
    on = rng.random(truth.shape) < 1 / (1 + np.exp(-logits.mean(axis=1) / 2))
    every, all_cells = np.ones((300, 4, 4), bool), 4800
    sampled, found = sample_cells([(every, (logits, on))], all_cells, 4000)
    assert (sampled.shape, found.shape) == ((1, 2, 3, 4000), (1, 3, 4000))
    assert fit_label_temperature(sampled, found) == pytest.approx(fit_label_temperature(logits, on), rel=0.05)
    variances = np.full((300, 2, 3, 4, 4), 4.0)
    values, means, spread = sample_cells([(every, (truth, np.zeros_like(logits), variances))], all_cells, 4000)
    assert fit_variance_factor(values, means, spread) == pytest.approx(0.25, rel=0.05)
