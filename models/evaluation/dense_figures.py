"""The figures of a dense classifier: of its cells, of its rows, and of how well the scores of rows rank their errors.

Of each row only a few numbers are kept, from which figures of many rows follow. Cells of no known class are ignored
(see `counted`), and so are rows of nothing else. No torch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation import metrics
from models.evaluation.answers import Outputs
from models.evaluation.cells import counted, error_shares, take_cells
from models.evaluation.confusion import cell_accuracy, class_counts, mean_iou, overlaps
from models.evaluation.likelihood import Floats, log_mean_probability
from models.evaluation.ranking import rankings

SCORES = ("entropy", "mutual_information", "expected_entropy", "energy", "max_probability")
"""Of rows; `max_probability` is 1 − the mean of max p̄, which like the others is higher for rows in more doubt."""

_AT_ONCE = 2**20  # logits whose float64 copies are in memory together


def summaries(found: Outputs, labels: NDArray[np.int64], temperature: float) -> dict[str, NDArray[Any]]:
    """What is kept of B rows, from `prediction` [B, *G], `logits` [B, N, K, *G] and true classes [B, *G].

    Returns:
        `cells` [B], the number that count; `wrong` [B], the share of them that is; `class_counts` [B, 3, K]; sums over
        cells: `submodels_right` [B, N], and `nll` [B] and `bins` [B, 3, 15] (see `calibration_sums`), both also
        `_uncalibrated`, at temperature 1.
    """
    counts = counted(labels)
    of_rows = [
        _sums(take_cells(logits, counting), of_row[counting], temperature)
        for logits, of_row, counting in zip(found["logits"], labels, counts)
    ]
    return {
        "cells": counts.reshape(len(counts), -1).sum(axis=-1),
        "wrong": error_shares(found["prediction"] != labels, counts),
        "class_counts": class_counts(found["prediction"], labels, found["logits"].shape[2]),
        **{name: np.array([one[name] for one in of_rows]) for name in of_rows[0]},
    }


def figures(rows: Outputs) -> dict[str, Any]:
    """All figures of rows, from their summaries and `row_…` scores, as JSON-compatible values.

    `accuracy`, `iou` by class, `nll` (nats), `ece` and `submodel_accuracy` are those of cells, whatever row they are
    in. `row_ece` compares the mean confidence of rows with their share of right cells, in 15 bins of rows. `ranking`,
    `aurc` and `risk_by_coverage` are those of scores of rows, whose risk is the share of wrong cells.
    """
    some = rows["cells"] > 0
    cells, errors, counts = int(rows["cells"].sum()), rows["wrong"][some], rows["class_counts"].sum(axis=0)
    scores = {name: values[some] for name, values in row_scores(rows).items()}
    return {
        "rows": len(errors),
        "cells": cells,
        "accuracy": cell_accuracy(counts),
        "mean_iou": mean_iou(counts),
        "iou": overlaps(counts),
        **{f"nll{name}": float(rows[f"nll{name}"].sum() / cells) for name in ("", "_uncalibrated")},
        **{f"ece{name}": _error(rows[f"bins{name}"]) for name in ("", "_uncalibrated")},
        "row_ece": metrics.top_calibration_error(rows["row_confidence"][some], 1 - errors),
        "submodel_accuracy": (rows["submodels_right"].sum(axis=0) / cells).tolist(),
        "ranking": rankings(scores, errors),
        "aurc": {name: metrics.risk_coverage_area(values, errors) for name, values in scores.items()},
        "risk_by_coverage": {name: metrics.risk_by_coverage(values, errors) for name, values in scores.items()},
        **{name: float(scores[name].mean()) for name in ("entropy", "mutual_information")},
    }


def row_scores(found: Outputs) -> dict[str, Floats]:
    """The scores [B] of rows by name, each higher for a row in more doubt."""
    return {name: 1 - found["row_confidence"] if name == "max_probability" else found[f"row_{name}"] for name in SCORES}


def _error(bins: Floats) -> float:
    """The calibration error, of the bins [B, 3, 15] of rows."""
    cells, sure, hits = bins.sum(axis=0)
    return float(np.abs(hits - sure).sum() / cells.sum())


def _sums(logits: Floats, labels: NDArray[np.int64], temperature: float) -> dict[str, Any]:
    """Over the M cells of a row, logits [N, K, M] and labels [M], a few of which are looked at at a time."""
    sums: dict[str, Any] = {"submodels_right": (logits.argmax(axis=1) == labels).sum(axis=-1)}
    step = max(1, _AT_ONCE // (logits.shape[0] * logits.shape[1]))
    for name, at in (("", temperature), ("_uncalibrated", 1.0)):
        sums |= {f"nll{name}": 0.0, f"bins{name}": np.zeros((3, metrics.BINS))}
        for first in range(0, len(labels), step):
            true = labels[first : first + step]
            log_p = log_mean_probability(logits[None, :, :, first : first + step], at)[0]
            sums[f"nll{name}"] -= float(log_p[true, np.arange(len(true))].sum())
            right = log_p.argmax(axis=0) == true
            sums[f"bins{name}"] += metrics.calibration_sums(np.exp(log_p.max(axis=0)), right)
    return sums
