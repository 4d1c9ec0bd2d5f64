"""Whether held-out rows can bear a calibration: what is refused, and what is written with a warning. No torch here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data import DatasetError
from models.evaluation.likelihood import TEMPERATURES, Floats, edge

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


def check_classes(labels: NDArray[Any], names: Sequence[str], of: str = "row") -> list[str]:
    """A warning if classes never occur among the labels [B], those of rows or of cells.

    Raises:
        CalibrationError: only one class occurs.
    """
    counts = np.bincount(labels, minlength=len(names))
    missing = [name for name, count in zip(names, counts) if not count]
    if len(missing) == len(names) - 1:
        raise CalibrationError(
            f"calibration: all {_number(len(labels), of)} are of the class {names[int(counts.argmax())]!r}: give {of}s "
            "of all classes, as often as they occur where the model is used"
        )
    if missing:
        return [
            f"no {of} of the calibration is of the class {_listed(missing)} ({len(missing)} of {len(names)} classes): "
            f"what was fitted and guaranteed says nothing about such {of}s"
        ]
    return []


def check_labels(labels: NDArray[Any], names: Sequence[str], of: str = "row") -> list[str]:
    """A warning if labels [B, K] are on in all rows, or cells, or in none.

    Raises:
        CalibrationError: that is so of all labels.
    """
    constant = [name for name, column in zip(names, labels.T) if (column == column[0]).all()]
    if len(constant) == len(names):
        raise CalibrationError(
            f"calibration: all {_number(len(labels), of)} have the same labels: give {of}s with each and without it, "
            "as often as they occur where the model is used"
        )
    if constant:
        return [
            f"{_listed(constant)} ({len(constant)} of {len(names)} labels) are on in all {of}s of the calibration or "
            f"in none: what was fitted and guaranteed says nothing about {of}s in which that is otherwise"
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


def check_chance(above: float, right: str, order: str) -> list[str]:
    """A warning if the labels fit the answers hardly better than in random order.

    Args:
        above: see `above_chance`.
        right: how many answers are, in words.
        order: how labels should be arranged, in words.

    Raises:
        CalibrationError: they fit no better.
    """
    if above < CHANCE:
        raise CalibrationError(
            f"calibration: the labels fit the answers no better than in random order ({right}): check that they "
            f"are {order}, and that the rows are in the units that the network takes; a weak network takes more rows"
        )
    if above < CLEAR:
        return [
            f"the labels fit the answers hardly better than in random order ({right}): check that they are those "
            "of the rows; more rows would tell"
        ]
    return []


def check_temperature(temperature: float, right: str, separated: int, of: str = "row") -> list[str]:
    """A warning if a temperature was not fitted, or lies at the lower end of its range.

    Args:
        right: how many answers are, in words.
        separated: the number of rows, or cells, that were to fit it, if every submodel is right on all of them; else 0.

    Raises:
        CalibrationError: it lies at the upper end of its range.
    """
    if separated:
        return [
            f"every submodel is right on all {_number(separated, of)} that were to fit the temperature, which sets "
            "no limit to how sure it may be: the temperature stays 1; more rows would help, or harder ones, that "
            "took no part in training"
        ]
    at = edge(temperature, TEMPERATURES)
    if at == "highest":
        raise CalibrationError(
            f"calibration: the best temperature is {TEMPERATURES[1]:g} or more, the end of its range ({right}): "
            "the logits are far too large for that. Check that the rows are in the units that the network takes "
            "(normalisation, pixel range), and that the labels are those of the rows"
        )
    if at == "lowest":  # answers are less sure than they could be, never surer
        return [
            f"the best temperature is {TEMPERATURES[0]:g} or less, the end of its range ({right}): the logits "
            "hardly differ; check that the network is trained to its end and gives logits, not probabilities"
        ]
    return []


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


def labels_above_chance(log_odds: Floats, labels: NDArray[Any]) -> float:
    """The same for labels [B, K] that are each on or off, of which those of one row stay together; from ln p̄/(1 − p̄)
    [B, K]."""
    left, right = (values - values.mean(axis=0) for values in (log_odds, (labels == 1).astype(np.float64)))
    # the sum over all pairs of rows of the square of what they would contribute: a trace of K × K, not B × B numbers
    variance = float(((left.T @ left) * (right.T @ right)).sum()) / (len(labels) - 1)
    return float((left * right).sum()) / variance**0.5 if variance > 0 else 0.0


def correlation_above_chance(predictions: Floats, truth: Floats) -> NDArray[np.float64]:
    """The same for numbers: the correlation of predictions with true values [B, D] over that of shuffled ones, [D]."""
    left, right = (values.astype(np.float64) - values.mean(axis=0, dtype=np.float64) for values in (predictions, truth))
    size = np.sqrt(np.square(left).sum(axis=0) * np.square(right).sum(axis=0))
    found = np.divide((left * right).sum(axis=0), size, out=np.zeros(left.shape[1]), where=size > 0)
    return np.asarray(found * (len(truth) - 1) ** 0.5)


def _rows(count: int) -> str:
    return _number(count, "row")


def _number(count: int, of: str) -> str:
    return f"{count} {of}{'s' * (count != 1)}"


def _listed(names: list[str]) -> str:
    more = ", …" * (len(names) > _NAMED)
    return ", ".join(map(repr, names[:_NAMED])) + more
