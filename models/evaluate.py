"""Measures an artefact as it is served: its own outputs, through onnxruntime, on labelled rows. No torch here."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from app.contract.schema import Evaluation
from models import artefact
from models.data import DatasetError, Split

BINS = 15

Floats = NDArray[np.floating[Any]]


def evaluate(model: onnx.ModelProto, temperature: float, data: str, split: Split) -> Evaluation:
    """Accuracy, NLL and calibration error of an artefact with this temperature on a split; `data` names it.

    Raises:
        DatasetError: a label is beyond the model's classes, or there are no rows.
    """
    found = artefact.run(model, split.inputs, ["prediction", "probabilities", "submodels", "logits"])
    check_labels(split.labels, found["probabilities"].shape[-1])
    probabilities, uncalibrated = found["probabilities"], np.exp(log_mean_probability(found["logits"], 1.0))
    right = found["prediction"] == split.labels
    log_probability = log_mean_probability(found["logits"], temperature)  # that of p̄ in float32 may be log 0
    return Evaluation(
        data=data,
        rows=len(split),
        accuracy=float(right.mean()),
        nll=float(-log_probability[np.arange(len(split)), split.labels].mean()),
        ece=calibration_error(probabilities.max(axis=-1), right),
        ece_uncalibrated=calibration_error(uncalibrated.max(axis=-1), uncalibrated.argmax(axis=-1) == split.labels),
        submodel_accuracy=tuple((found["submodels"].argmax(axis=-1) == split.labels[:, None]).mean(axis=0).tolist()),
    )


def calibration_error(confidence: Floats, right: NDArray[np.bool_]) -> float:
    """Expected calibration error: Σ over bins of (rows in bin / rows) · |accuracy − mean confidence|.

    15 bins of equal width over the confidence of the most probable class (Guo et al. 2017, arXiv 1706.04599).
    """
    bins = np.clip(np.ceil(confidence.astype(np.float64) * BINS) - 1, 0, BINS - 1).astype(int)
    gap = np.bincount(bins, weights=right - confidence.astype(np.float64), minlength=BINS)
    return float(np.abs(gap).sum() / len(confidence))


def log_mean_probability(logits: Floats, temperature: float) -> NDArray[np.float64]:
    """ln p̄ [B, K] of logits [B, N, K]: each submodel's softmax at one temperature, then the mean, in float64."""
    log_p = log_softmax(logits.astype(np.float64) / temperature, axis=-1)
    return np.asarray(logsumexp(log_p, axis=1) - np.log(logits.shape[1]))


def check_labels(labels: NDArray[np.int64], classes: int) -> None:
    """Raises DatasetError unless there are rows and every label is one of the model's classes."""
    if not len(labels):
        raise DatasetError("there are no rows")
    if labels.max() >= classes:
        raise DatasetError(f"label {labels.max()} is beyond the model's {classes} classes (0 to {classes - 1})")
