"""Confusion matrices of a classifier's cells, which add up over rows, and what follows from them. No torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.cells import counted

Counts = NDArray[np.int64]
"""[K, K] cells by true class, then by predicted class."""


def confusion(prediction: NDArray[np.integer[Any]], labels: NDArray[np.integer[Any]], classes: int) -> Counts:
    """The cells of rows [B, *G] that count; see `counted`."""
    counts = counted(labels)
    places = labels[counts] * classes + prediction[counts]
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def cell_accuracy(counts: Counts) -> float:
    """The share of cells whose class is right."""
    return float(np.trace(counts) / counts.sum())


def overlaps(counts: Counts) -> list[float | None]:
    """The intersection over union of each class [K]: right cells by those where the class is true or predicted.

    Over the cells of all rows together, as in PASCAL VOC (Everingham et al. 2010, section 4.3.1); None for a class that
    is nowhere.
    """
    right = np.diagonal(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - right
    return [int(hits) / int(cells) if cells else None for hits, cells in zip(right, union)]


def mean_iou(counts: Counts) -> float:
    """The mean of `overlaps` over the classes that are somewhere."""
    return float(np.mean([one for one in overlaps(counts) if one is not None]))
