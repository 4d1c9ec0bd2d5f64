"""Guarantees for rows of many items, such as the cells of a map or a row's labels: sets and intervals that miss no more
than a share of them.

Items of one row are not independent, so what is promised is promised for rows. A row's loss is the share of its items
that are missed: from 0 to 1, and falling as sets grow. Conformal risk control (Angelopoulos et al. 2022, arXiv
2208.02814): if n such rows and a new one are exchangeable, the smallest sets with (losses of n rows + 1) / (n + 1) ≤ α
keep the expected loss of the new row at α or below, for any model and any data. No torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, inf, isfinite, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.calibration import Interval, PredictionSet
from models.evaluation.cells import counted
from models.evaluation.conformal import COVERAGES, INTERVALS, check_shares, rounded

Floats = NDArray[np.floating[Any]]

_LARGEST = 2**62
"""Losses of all rows together stay below it in whole numbers, and so within 64 bits."""


@dataclass(frozen=True)
class LossCurves:
    """What n rows lose as a limit rises: a row misses those of its items whose values lie below the limit.

    Args:
        items: int64 [n] how many items each row has; a row without any loses nothing.
        rows: int64 [M] the row of each item; without those that no limit misses.
        values: [M] the value of each item.
    """

    items: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: Floats

    def __len__(self) -> int:
        return len(self.items)


def class_losses(probabilities: Floats, labels: NDArray[np.integer[Any]]) -> LossCurves:
    """Losses of rows whose items are their cells, from mean probabilities [B, K, *G] and true classes [B, *G].

    A set holds a cell's most probable class, and all of at least the limit's probability. So a cell whose most probable
    class is the true one is never missed. Cells that do not count (see `counted`) are no items.
    """
    counts = counted(labels)
    true = np.take_along_axis(probabilities, np.where(counts, labels, 0)[:, None], axis=1)[:, 0]
    wrong = counts & (probabilities.argmax(axis=1) != labels)
    return LossCurves(_number(counts), np.nonzero(wrong)[0], true[wrong])


def label_losses(probabilities: Floats, truth: NDArray[np.bool_]) -> LossCurves:
    """Losses of rows whose items are their true labels, or true pairs of cell and label; both [B, K, *G]."""
    return LossCurves(_number(truth), np.nonzero(truth)[0], probabilities[truth])


def value_losses(truth: Floats, prediction: Floats, variance: Floats) -> tuple[LossCurves, ...]:
    """For each target the losses of rows whose items are their cells, all [B, D, *G]; the variance is not negative.

    A cell's value is −|y − prediction| / √variance, so that it is missed by intervals prediction ± factor · √variance
    whose negative factor is above. −∞ if only the variance is 0; an exact prediction needs no width.
    """
    errors = np.abs(truth.astype(np.float64) - prediction)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(errors == 0, 0.0, -errors / np.sqrt(variance.astype(np.float64)))
    rows, targets = values.shape[:2]
    cells = values.reshape(rows, targets, -1)
    items = np.full(rows, cells.shape[-1])
    return tuple(
        LossCurves(items, np.arange(rows).repeat(cells.shape[-1]), cells[:, d].ravel()) for d in range(targets)
    )


def join(parts: Sequence[LossCurves]) -> LossCurves:
    """The losses of all rows of one or more parts, whose grids may differ in size."""
    starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
    return LossCurves(
        np.concatenate([part.items for part in parts]),
        np.concatenate([start + part.rows for start, part in zip(starts, parts)]),
        np.concatenate([part.values for part in parts]),
    )


def risk_controlled_sets(losses: LossCurves, coverages: Sequence[float] = COVERAGES) -> tuple[PredictionSet, ...]:
    """Sets of classes or labels for each coverage that can be guaranteed: of a new row's items they hold on average at
    least that share.

    Raises:
        ValueError: see `check_shares`; or a value is not a number.
    """
    return tuple(
        PredictionSet(
            coverage=coverage, least_probability=max(rounded(min(limit, 1.0), up=False), 0.0), rows=len(losses)
        )
        for coverage, limit in _limits(losses, coverages).items()
    )


def label_sets(
    probabilities: Floats, truth: NDArray[np.bool_], coverages: Sequence[float] = COVERAGES
) -> tuple[PredictionSet, ...]:
    """The same from the probabilities and the true labels, both [n, K] or [n, K, *G]: on average sets miss at most the
    share 1 − coverage of a row's true labels.

    Raises:
        ValueError: see `check_shares`; or a value is not a number.
    """
    return risk_controlled_sets(label_losses(probabilities, truth), coverages)


def risk_controlled_intervals(
    targets: Sequence[LossCurves], coverages: Sequence[float] = INTERVALS
) -> tuple[Interval, ...]:
    """Widths for each coverage that can be guaranteed for every target by itself: of a new row's cells, intervals hold
    on average at least that share.

    Args:
        targets: D losses of the same rows; see `value_losses`.

    A coverage that would need an infinite width is left out.

    Raises:
        ValueError: see `check_shares`; or a value is not a number.
    """
    limits = [_limits(losses, coverages) for losses in targets]
    found = []
    for coverage in coverages:
        widths = [-limit[coverage] for limit in limits if limit.get(coverage, -inf) > -inf]
        if len(widths) == len(targets):
            factors = tuple(max(rounded(width, up=True), 0.0) if isfinite(width) else 0.0 for width in widths)
            found.append(Interval(coverage=coverage, factors=factors, rows=len(targets[0])))
    return tuple(found)


def _limits(losses: LossCurves, coverages: Sequence[float]) -> dict[float, float]:
    """The highest limit for each coverage that can be guaranteed; infinite if none is too high."""
    check_shares("coverages", coverages)
    if np.isnan(losses.values).any():  # they would count as never missed
        raise ValueError("losses: a value is not a number")
    order = np.argsort(losses.values)
    # whole numbers, of which `unit` are the loss of all items of a row: sums of thirds would be rounded
    unit = _unit(losses.items)
    shares = -(-unit // np.maximum(losses.items, 1))
    missed = shares[losses.rows[order]].cumsum()
    found = {}
    for coverage in coverages:
        most = ((1 - Fraction(str(coverage))) * (len(losses) + 1) - 1) * unit
        if most >= 0:
            # the first item that would be one too many to miss is held
            first = int(np.searchsorted(missed, floor(most), side="right"))
            found[coverage] = float(losses.values[order[first]]) if first < len(order) else inf
    return found


def _unit(items: NDArray[np.int64]) -> int:
    """A multiple of every row's number of items, or where that grows too large, a number of which a share rounded up
    is hardly more than the share."""
    largest, unit = _LARGEST // max(len(items), 1), 1
    for number in np.unique(items[items > 0]).tolist():
        unit = lcm(unit, number)
        if unit > largest:
            return largest
    return unit


def _number(which: NDArray[np.bool_]) -> NDArray[np.int64]:
    return np.asarray(which.reshape(len(which), -1).sum(axis=-1, dtype=np.int64))
