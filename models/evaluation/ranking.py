"""How well scores of rows rank them by their true errors. No torch."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from models.evaluation.likelihood import Floats

WORST = 0.1
"""The share of rows that are the worst."""


def rankings(scores: Mapping[str, Floats], errors: Floats) -> dict[str, dict[str, float | None]]:
    """For each score [B], higher where a row is in more doubt, how well it ranks rows by their errors [B].

    Returns:
        `auroc_worst_tenth`, the probability that one of the worst rows has the higher score than another row, and
        `spearman`, the correlation of the ranks. None where all errors are the same, or all scores for the latter.
    """
    from sklearn.metrics import roc_auc_score  # here: it takes a second, and not every command measures

    worst = worst_rows(errors)
    some = 0 < worst.sum() < len(worst)
    return {
        name: {
            "auroc_worst_tenth": float(roc_auc_score(worst, values)) if some else None,
            "spearman": float(spearmanr(values, errors).statistic) if np.ptp(values) and np.ptp(errors) else None,
        }
        for name, values in scores.items()
    }


def worst_rows(errors: Floats) -> NDArray[np.bool_]:
    """The tenth of the rows with the highest errors [B], and those that tie with the last of it: all that err at all if
    fewer than a tenth err more than the best."""
    last = np.sort(errors)[-max(1, round(len(errors) * WORST))]
    return np.asarray(errors >= last if last > errors.min() else errors > last)
