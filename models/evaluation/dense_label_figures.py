"""The figures of labels that are each on or off in cells. Of each row only a few numbers are kept, from which those of
many rows follow. No torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.tasks.multilabel import MultilabelEvaluation
from models.evaluation.answers import Outputs
from models.evaluation.cells import error_shares
from models.evaluation.confusion import label_counts
from models.evaluation.likelihood import log_mean_labels
from models.evaluation.metrics import calibration_gaps


def summaries(found: Outputs, truth: NDArray[np.bool_], temperature: float) -> dict[str, NDArray[Any]]:
    """What is kept of B rows, from the outputs of their cells and the labels that are on [B, K, *G].

    Returns:
        `wrong` [B], the share of labels that is; `right` [B] and `submodels_right` [B, N], the shares of cells whose
        labels are all right; `class_counts` [B, 3, K]; means over labels and cells, `nll` and `brier` [B]; and means
        over cells, `gaps` [B, K, 15] (see `calibration_gaps`), also `gaps_uncalibrated`, at temperature 1.
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
        "gaps": _gaps(found["probabilities"], truth),
        "gaps_uncalibrated": _gaps(uncalibrated, truth),
    }


def reached(data: str, rows: Outputs) -> MultilabelEvaluation:
    """The figures in a contract, from the summaries of rows."""
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
        ece=_error(rows["gaps"]),
        ece_uncalibrated=_error(rows["gaps_uncalibrated"]),
        submodel_exact_match=tuple(rows["submodels_right"].mean(axis=0).tolist()),
    )


def _gaps(probabilities: NDArray[Any], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    cells = truth[0, 0].size
    return np.array(
        [
            [calibration_gaps(p.ravel(), on.ravel()) / cells for p, on in zip(of_row, truth[row])]
            for row, of_row in enumerate(probabilities)
        ]
    )


def _error(gaps: NDArray[Any]) -> float:
    """The calibration error, the mean over the labels, of [B, K, 15]."""
    return float(np.abs(gaps.mean(axis=0)).sum(axis=-1).mean())
