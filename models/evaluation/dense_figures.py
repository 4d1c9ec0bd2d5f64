"""The figures of a dense classifier: of its cells, of its rows, and of how well the scores of rows rank their errors.

Added up over chunks of rows, of which only a few numbers for each row are kept. Cells of no known class are ignored
(see `counted`), and so are rows of nothing else. No torch.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation.answers import Answers, Outputs
from models.evaluation.cells import counted, error_shares, take_cells
from models.evaluation.confusion import cell_accuracy, confusion, mean_iou, overlaps
from models.evaluation.likelihood import Floats, log_mean_probability
from models.evaluation.metrics import BINS, calibration_gaps, top_calibration_error
from models.evaluation.ranking import rankings

SCORES = ("entropy", "mutual_information", "expected_entropy", "energy", "max_probability")
"""Of rows; `max_probability` is 1 − the mean of max p̄, which like the others is higher for rows in more doubt."""

_AT_ONCE = 2**20  # logits whose float64 copies are in memory together


class DenseFigures:
    """Collects the answers to chunks of rows.

    Args:
        classes: K.
        temperature: of the calibration.
    """

    def __init__(self, classes: int, temperature: float) -> None:
        self._confusion = np.zeros((classes, classes), np.int64)
        self._temperatures = {"": temperature, "_uncalibrated": 1.0}
        self._nll = dict.fromkeys(self._temperatures, 0.0)
        self._gaps = {name: np.zeros(BINS) for name in self._temperatures}
        self._right: Any = 0  # [N] cells that each submodel answers rightly, once there are rows
        self._rows: list[dict[str, Floats]] = []

    def add(self, answers: Answers) -> None:
        """Adds B rows: `prediction` [B, *G], `logits` [B, N, K, *G], the `row_…` scores [B], true classes [B, *G]."""
        found, labels = answers.outputs, answers.labels
        counts = counted(labels)
        some = counts.reshape(len(counts), -1).any(axis=-1)
        self._confusion += confusion(found["prediction"], labels, len(self._confusion))
        for row in np.flatnonzero(some):
            self._add_cells(take_cells(found["logits"][row], counts[row]), take_cells(labels[row], counts[row]))
        errors = error_shares(found["prediction"] != labels, counts)
        rows = {"error": errors, "confidence": found["row_confidence"], **row_scores(found)}
        self._rows.append({name: values[some] for name, values in rows.items()})

    def figures(self) -> dict[str, Any]:
        """All figures of the rows added, at least one of which has a cell that counts, as JSON-compatible values.

        `accuracy`, `iou` by class, `nll` (nats), `ece` and `submodel_accuracy` are those of cells, whatever row they
        are in. `row_ece` compares the mean confidence of rows with their share of right cells, in 15 bins of rows.
        """
        cells = int(self._confusion.sum())
        rows = {name: np.concatenate([part[name] for part in self._rows]) for name in self._rows[0]}
        errors, confidence = rows.pop("error"), rows.pop("confidence")
        return {
            "rows": len(errors),
            "cells": cells,
            "accuracy": cell_accuracy(self._confusion),
            "mean_iou": mean_iou(self._confusion),
            "iou": overlaps(self._confusion),
            **{f"nll{name}": total / cells for name, total in self._nll.items()},
            **{f"ece{name}": float(np.abs(gaps).sum() / cells) for name, gaps in self._gaps.items()},
            "row_ece": top_calibration_error(confidence, 1 - errors),
            "submodel_accuracy": (self._right / cells).tolist(),
            "ranking": rankings(rows, errors),
        }

    def _add_cells(self, logits: Floats, labels: NDArray[np.int64]) -> None:
        """M cells of a row, logits [N, K, M] and labels [M], a few at a time."""
        self._right = self._right + (logits.argmax(axis=1) == labels).sum(axis=-1)
        step = max(1, _AT_ONCE // (logits.shape[0] * logits.shape[1]))
        for first in range(0, len(labels), step):
            some, true = logits[None, :, :, first : first + step], labels[first : first + step]
            for name, temperature in self._temperatures.items():
                log_p = log_mean_probability(some, temperature)[0]
                self._nll[name] -= float(log_p[true, np.arange(len(true))].sum())
                right = log_p.argmax(axis=0) == true
                self._gaps[name] += calibration_gaps(np.exp(log_p.max(axis=0)), right)


def row_scores(found: Outputs) -> dict[str, Floats]:
    """The scores [B] of rows by name, each higher for a row in more doubt."""
    return {name: 1 - found["row_confidence"] if name == "max_probability" else found[f"row_{name}"] for name in SCORES}
