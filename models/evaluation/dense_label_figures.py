"""The figures of labels that are each on or off in cells. Of each row only a few numbers are kept, from which those of
many rows follow. No torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.tasks.multilabel import MultilabelEvaluation
from models.evaluation.answers import Outputs
from models.evaluation.cells import error_shares
from models.evaluation.confusion import label_counts
from models.evaluation.curves import reliability, risk_coverage
from models.evaluation.likelihood import log_mean_labels
from models.evaluation.metrics import calibration_sums


def summaries(found: Outputs, truth: NDArray[np.bool_], temperature: float) -> dict[str, NDArray[Any]]:
    """What is kept of B rows, from the outputs of their cells and the labels that are on [B, K, *G].

    Returns:
        `wrong` [B], the share of labels that is; `right` [B] and `submodels_right` [B, N], the shares of cells whose
        labels are all right; `class_counts` [B, 3, K]; means over labels and cells, `nll` and `brier` [B]; and sums
        over cells, `bins` [B, K, 3, 15] (see `calibration_sums`), also `bins_uncalibrated`, at temperature 1.
    """
    predicted, rows = found["prediction"] == 1, len(truth)
    log_p = log_mean_labels(found["logits"], temperature)
    alone = ((found["logits"] > 0) == truth[:, None]).all(axis=2)
    uncalibrated = np.exp(log_mean_labels(found["logits"], 1.0)[..., 1])
    return {
        "wrong": error_shares(predicted != truth),
        "right": error_shares((predicted == truth).all(axis=1)),
        "submodels_right": alone.reshape(*alone.shape[:2], -1).mean(axis=-1),
        "class_counts": label_counts(predicted, truth),
        "nll": -np.where(truth, log_p[..., 1], log_p[..., 0]).reshape(rows, -1).mean(axis=-1),
        "brier": np.square(found["probabilities"].astype(np.float64) - truth).reshape(rows, -1).mean(axis=-1),
        "bins": _bins(found["probabilities"], truth),
        "bins_uncalibrated": _bins(uncalibrated, truth),
    }


def reached(head: Head, data: str, rows: Outputs) -> MultilabelEvaluation:
    """The figures in a contract, from the summaries and `row_…` scores of rows."""
    right, predicted, true = rows["class_counts"].sum(axis=0)
    several = predicted + true
    f1 = np.divide(2 * right, several, out=np.zeros(len(right)), where=several > 0)
    return MultilabelEvaluation(
        data=data,
        rows=len(rows["right"]),
        exact_match=float(rows["right"].mean()),
        micro_f1=float(2 * right.sum() / several.sum()) if several.any() else 0.0,
        macro_f1=float(f1.mean()),
        nll=float(rows["nll"].mean()),
        brier=float(rows["brier"].mean()),
        ece=_error(rows["bins"]),
        ece_uncalibrated=_error(rows["bins_uncalibrated"]),
        submodel_exact_match=tuple(rows["submodels_right"].mean(axis=0).tolist()),
        reliability=reliability(rows["bins"].sum(axis=(0, 1))),
        risk_coverage=risk_coverage(head, rows, rows["wrong"]),
    )


def _bins(probabilities: NDArray[Any], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.array(
        [[calibration_sums(p.ravel(), on.ravel()) for p, on in zip(*of_row)] for of_row in zip(probabilities, truth)]
    )


def _error(bins: NDArray[Any]) -> float:
    """The calibration error, the mean over the labels, of [B, K, 3, 15]."""
    cells, sure, hits = np.moveaxis(bins.sum(axis=0), 1, 0)
    return float((np.abs(hits - sure).sum(axis=-1) / cells.sum(axis=-1)).mean())
