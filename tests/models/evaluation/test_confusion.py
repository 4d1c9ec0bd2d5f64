import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torchmetrics.functional.classification import multiclass_jaccard_index

from models.evaluation.confusion import cell_accuracy, class_counts, label_counts, mean_iou, overlaps


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, 4, (6, 5, 7))
    labels = np.where(rng.random(prediction.shape) < 0.6, prediction, rng.integers(-1, 4, prediction.shape))
    return prediction, labels


@pytest.mark.parametrize("absent", [0, 1])
def test_overlaps_are_those_of_other_libraries(absent: int) -> None:
    """A class that is nowhere is left out, and so are ignored cells."""
    prediction, labels = maps(absent)
    counts = class_counts(prediction, labels, 4 + absent).sum(axis=0)
    within = labels >= 0
    matrix = confusion_matrix(labels[within], prediction[within])
    np.testing.assert_array_equal(counts[:, :4], [np.diagonal(matrix), matrix.sum(axis=0), matrix.sum(axis=1)])
    assert cell_accuracy(counts) == pytest.approx((labels == prediction)[within].mean())
    expected = multiclass_jaccard_index(
        torch.from_numpy(prediction), torch.from_numpy(labels), 4 + absent, average="none", ignore_index=-1
    )
    assert overlaps(counts)[:4] == pytest.approx(expected[:4].tolist())
    assert overlaps(counts)[4:] == [None] * absent
    assert mean_iou(counts) == pytest.approx(float(expected[:4].mean()))


def test_each_row_is_counted_by_itself() -> None:
    prediction, labels = maps(2)
    found = class_counts(prediction, labels, 4)
    assert found.shape == (6, 3, 4)
    for row in range(6):
        np.testing.assert_array_equal(found[row], class_counts(prediction[[row]], labels[[row]], 4)[0])


def test_a_class_that_is_only_predicted_counts_as_0() -> None:
    (counts,) = class_counts(np.array([[0, 0, 1, 2]]), np.array([[0, 0, 1, 1]]), 3)
    assert overlaps(counts) == [1.0, 0.5, 0.0]
    assert mean_iou(counts) == 0.5


def test_labels_that_are_on_are_counted_in_every_cell() -> None:
    predicted = np.array([[[1, 1, 0], [0, 0, 1]]], bool)
    truth = np.array([[[1, 0, 0], [1, 0, 1]]], bool)
    assert label_counts(predicted, truth).tolist() == [[[1, 1], [2, 1], [1, 2]]]
