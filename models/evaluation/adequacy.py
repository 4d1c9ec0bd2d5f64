"""Whether held-out rows can bear a calibration: what is refused, and what is written with a warning. No torch here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import DatasetError
from models.evaluation.likelihood import Floats

LEAST_ROWS = 10
"""Fewer are refused: half of them fit the scale, and 4 rows fit anything."""
ENOUGH_ROWS = 100
"""Fewer are warned of: a scale fitted on less than 50 rows is off by a quarter or so."""
CHANCE, CLEAR = 1.0, 3.0
"""Standard deviations above their mean in random order: labels below the first are refused, as five in six random ones
are; those below the second are warned of, since so few or rare labels may fit an honest network as badly."""
_NAMED = 5


class CalibrationError(DatasetError):
    """Held-out rows cannot bear a calibration; the message says what is wrong and what would help."""


def check_number(rows: int) -> list[str]:
    """A warning if there are few rows.

    Raises:
        CalibrationError: there are too few.
    """
    if rows < LEAST_ROWS:
        raise CalibrationError(
            f"calibration: {_rows(rows)} cannot fit a scale: give at least {LEAST_ROWS}, better {ENOUGH_ROWS} or more, "
            "that took no part in training"
        )
    if rows < ENOUGH_ROWS:
        return [
            f"calibrated on {_rows(rows)}, half of which fit the scale: it may be far off, and high coverages cannot "
            f"be guaranteed; {ENOUGH_ROWS} or more would do better"
        ]
    return []


def check_classes(labels: NDArray[Any], names: Sequence[str]) -> list[str]:
    """A warning if classes never occur among the labels [B].

    Raises:
        CalibrationError: only one class occurs.
    """
    counts = np.bincount(labels, minlength=len(names))
    missing = [name for name, count in zip(names, counts) if not count]
    if len(missing) == len(names) - 1:
        raise CalibrationError(
            f"calibration: all {_rows(len(labels))} are of the class {names[int(counts.argmax())]!r}: give rows of all "
            "classes, as often as they occur where the model is used"
        )
    if missing:
        return [
            f"no row of the calibration is of the class {_listed(missing)} ({len(missing)} of {len(names)} classes): "
            "what was fitted and guaranteed says nothing about such rows"
        ]
    return []


def check_targets(truth: Floats, names: Sequence[str]) -> None:
    """Checks that the true values [B, D] of every target vary.

    Raises:
        CalibrationError: those of a target are all the same.
    """
    constant = [name for name, column in zip(names, truth.T) if (column == column[0]).all()]
    if constant:
        raise CalibrationError(
            f"calibration: all {_rows(len(truth))} have the same true value of {_listed(constant)}: errors on them say "
            "nothing about other values, give rows in which it varies"
        )


def above_chance(log_probabilities: Floats, labels: NDArray[Any]) -> float:
    """How far the likelihood of labels [B] lies above that of the same labels in random order, in standard deviations
    of the latter; from ln p̄ [B, K].

    Mean and variance over all orders are those of Hoeffding 1951, so nothing is drawn. 0 if the answers to all rows
    are alike.
    """
    rows, classes = log_probabilities.shape
    shares = np.bincount(labels, minlength=classes) / rows
    of_rows, of_classes = log_probabilities @ shares, log_probabilities.mean(axis=0)
    mean = float(of_classes @ shares)
    apart = log_probabilities - of_rows[:, None] - of_classes + mean
    variance = rows / (rows - 1) * float(np.square(apart).sum(axis=0) @ shares)
    gained = float(log_probabilities[np.arange(rows), labels].sum()) - rows * mean
    return gained / variance**0.5 if variance > 0 else 0.0


def correlation_above_chance(predictions: Floats, truth: Floats) -> NDArray[np.float64]:
    """The same for numbers: the correlation of predictions with true values [B, D] over that of shuffled ones, [D]."""
    left, right = (values.astype(np.float64) - values.mean(axis=0, dtype=np.float64) for values in (predictions, truth))
    size = np.sqrt(np.square(left).sum(axis=0) * np.square(right).sum(axis=0))
    found = np.divide((left * right).sum(axis=0), size, out=np.zeros(left.shape[1]), where=size > 0)
    return np.asarray(found * (len(truth) - 1) ** 0.5)


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _listed(names: list[str]) -> str:
    more = ", …" * (len(names) > _NAMED)
    return ", ".join(map(repr, names[:_NAMED])) + more
