"""The cells of dense rows: which count, what share of them is wrong, and a sample that is small enough to fit a scale
on. No torch.

G are the grid's axes, one or more, and the last ones.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_CELLS = 200_000
"""Of a sample: 35 MB of logits for N = 4 and K = 11."""


def counted(labels: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Which cells count, of classes [B, *G]: a label below 0 says that a cell's class is unknown or of no interest.

    Libraries write 255 (the PASCAL VOC data) or −100 (torch's cross-entropy); 255 may be a class.
    """
    return labels >= 0


def error_shares(wrong: NDArray[np.bool_], counts: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """The share [B] of each row's items that are wrong [B, …], of those that count [B, …]; 0 where none does."""
    flat = wrong.reshape(len(wrong), -1)
    if counts is None:
        return np.asarray(flat.mean(axis=-1))
    counting = counts.reshape(flat.shape)
    return np.asarray((flat & counting).sum(axis=-1) / np.maximum(counting.sum(axis=-1), 1))


def take_cells(row: NDArray[Any], which: NDArray[np.bool_]) -> NDArray[Any]:
    """The cells [..., M] of a row [..., *G] that `which` [*G] marks."""
    # not row[..., which]: cells would come first in its memory, which slows down all that follows
    return row.reshape(*row.shape[: row.ndim - which.ndim], -1).take(np.flatnonzero(which), axis=-1)


def sample_cells(
    chunks: Iterable[tuple[NDArray[np.bool_], tuple[NDArray[Any], ...]]], total: int, most: int = MOST_CELLS
) -> tuple[NDArray[Any], ...]:
    """M cells drawn at random, the same share of each row, as a single row: arrays [B, …, *G] become [1, …, M].

    On it a fit such as `fit_temperature` sees all rows in little memory: the mean likelihood of the sample estimates
    that of all cells without bias. Which cells are drawn depends on a row's place alone, not on how rows are chunked.

    Args:
        chunks: rows a few at a time: which of their cells count [B, *G], and arrays [B, …, *G], such as logits
            [B, N, K, *G] and labels [B, *G]. One chunk is held in memory at a time.
        total: number of cells that count in all chunks.
        most: M at most; if `total` is no more, all cells are taken.

    Raises:
        ValueError: no cell counts, or the chunks have other than `total`.
    """
    parts: list[tuple[NDArray[Any], ...]] = []
    row = seen = 0
    for counts, arrays in chunks:
        for index, counting in enumerate(counts):
            places = np.flatnonzero(counting)
            # what is due by the end of a row less what was by its start: shares of rows add up to the whole
            due = _due(seen + len(places), total, most) - _due(seen, total, most)
            chosen = np.zeros(counting.shape, np.bool_)
            chosen.flat[np.random.default_rng([0, row]).choice(places, due, replace=False)] = True
            parts.append(tuple(take_cells(array[index], chosen) for array in arrays))
            row, seen = row + 1, seen + len(places)
    if seen != total or not total:
        raise ValueError(f"cells: expected {total} that count, and at least one, got {seen}")
    return tuple(np.concatenate(column, axis=-1)[None] for column in zip(*parts))


def _due(seen: int, total: int, most: int) -> int:
    return seen if total <= most else min(seen * most // max(total, 1), most)
