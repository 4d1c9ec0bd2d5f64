"""Measures an artefact as it is served: its own outputs, through onnxruntime, on labelled rows. No torch here."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from app.contract.schema import Contract, Evaluation
from models import artefact
from models.data import DatasetError, Split

BINS = 15

Floats = NDArray[np.floating[Any]]


def evaluate(model: onnx.ModelProto, contract: Contract, data: str, split: Split) -> Evaluation:
    """Accuracy, NLL and calibration error of an artefact on a split; `data` names it.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
    """
    check_rows(contract, split)
    found = artefact.run(model, split.inputs, ["prediction", "probabilities", "submodels", "logits"])
    probabilities, uncalibrated = found["probabilities"], np.exp(log_mean_probability(found["logits"], 1.0))
    right = found["prediction"] == split.labels
    log_probability = log_mean_probability(found["logits"], contract.temperature)  # that of p̄ in float32 may be log 0
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


def check_rows(contract: Contract, split: Split) -> None:
    """Holds labelled rows against what a model takes and can answer.

    Raises:
        DatasetError: no rows, another dtype or shape, values that are not finite or outside the declared range, or a
            label beyond the classes.
    """
    given, labels = contract.inputs[0], split.labels
    for name, array in (("inputs", split.inputs), ("labels", labels)):
        if not isinstance(array, np.ndarray):
            raise DatasetError(f"{name}: expected a NumPy array, got {type(array).__name__}")
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(split.inputs):
        raise DatasetError(
            f"labels: expected a whole number for each of the {len(split.inputs)} rows, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    if not len(labels):
        raise DatasetError("there are no rows")
    if (str(split.inputs.dtype), split.inputs.shape[1:]) != (given.dtype, contract.sizes(given)[1:]):
        raise DatasetError(
            f"inputs: expected {given.dtype} {list(given.shape)}, got {split.inputs.dtype} {list(split.inputs.shape)}"
        )
    low, high = given.range or (-np.inf, np.inf)
    if not (np.isfinite(split.inputs).all() and low <= split.inputs.min() and split.inputs.max() <= high):
        raise DatasetError(
            f"inputs: expected finite values in [{low:g}, {high:g}] ({given.unit}), "
            f"got {split.inputs.min():g} to {split.inputs.max():g}"
        )
    if labels.min() < 0 or labels.max() >= len(contract.labels):
        raise DatasetError(
            f"labels: expected 0 to {len(contract.labels) - 1} for the model's {len(contract.labels)} classes, "
            f"got {labels.min()} to {labels.max()}"
        )
