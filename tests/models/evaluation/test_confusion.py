import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torchmetrics.functional.classification import multiclass_jaccard_index

from models.evaluation.confusion import cell_accuracy, confusion, mean_iou, overlaps


def maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prediction = rng.integers(0, 4, (6, 5, 7))
    labels = np.where(rng.random(prediction.shape) < 0.6, prediction, rng.integers(-1, 4, prediction.shape))
    return prediction, labels


@pytest.mark.parametrize("absent", [0, 1])
def test_overlaps_are_those_of_other_libraries(absent: int) -> None:
    """A class that is nowhere is left out, and so are ignored cells."""
    prediction, labels = maps(absent)
    counts = confusion(prediction, labels, 4 + absent)
    within = labels >= 0
    np.testing.assert_array_equal(counts[:4, :4], confusion_matrix(labels[within], prediction[within]))
    assert cell_accuracy(counts) == pytest.approx((labels == prediction)[within].mean())
    expected = multiclass_jaccard_index(
        torch.from_numpy(prediction), torch.from_numpy(labels), 4 + absent, average="none", ignore_index=-1
    )
    assert overlaps(counts)[:4] == pytest.approx(expected[:4].tolist())
    assert overlaps(counts)[4:] == [None] * absent
    assert mean_iou(counts) == pytest.approx(float(expected[:4].mean()))


def test_counts_add_up_over_rows() -> None:
    prediction, labels = maps(2)
    parts = sum(confusion(prediction[part], labels[part], 4) for part in (slice(0, 1), slice(1, 6)))
    np.testing.assert_array_equal(parts, confusion(prediction, labels, 4))


def test_a_class_that_is_only_predicted_counts_as_0() -> None:
    counts = confusion(np.array([[0, 0, 1, 2]]), np.array([[0, 0, 1, 1]]), 3)
    assert overlaps(counts) == [1.0, 0.5, 0.0]
    assert mean_iou(counts) == 0.5
