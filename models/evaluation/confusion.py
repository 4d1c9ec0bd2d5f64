"""How often cells of each class are answered rightly, which adds up over rows, and what follows. No torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.cells import counted

Counts = NDArray[np.int64]
"""[3, K] cells of each class: answered rightly, predicted, true."""


def class_counts(prediction: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], classes: int) -> Counts:
    """The `Counts` of each row [B, 3, K], of the cells [B, *G] that count; see `counted`."""
    found = np.zeros((len(labels), 3, classes), np.int64)
    for row, (predicted, true) in enumerate(zip(prediction, labels)):
        some = counted(true)
        pairs = predicted[some], true[some]
        for kind, which in enumerate((pairs[1][pairs[0] == pairs[1]], *pairs)):
            found[row, kind] = np.bincount(which, minlength=classes)
    return found


def label_counts(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> Counts:
    """The `Counts` of each row [B, 3, K], of labels that are each on or off in every cell, [B, K, *G]."""
    kinds = np.stack([prediction & truth, prediction, truth], axis=1)
    return np.asarray(kinds.reshape(*kinds.shape[:3], -1).sum(axis=-1, dtype=np.int64))


def cell_accuracy(counts: Counts) -> float:
    """The share of cells whose class is right."""
    right, _, true = counts
    return float(right.sum() / true.sum())


def overlaps(counts: Counts) -> list[float | None]:
    """The intersection over union of each class [K]: right cells by those where the class is true or predicted.

    Over the cells of all rows together, as in PASCAL VOC (Everingham et al. 2010, section 4.3.1); None for a class that
    is nowhere.
    """
    right, predicted, true = counts
    union = predicted + true - right
    return [int(hits) / int(cells) if cells else None for hits, cells in zip(right, union)]


def mean_iou(counts: Counts) -> float:
    """The mean of `overlaps` over the classes that are somewhere."""
    return float(np.mean([one for one in overlaps(counts) if one is not None]))
