"""Measures an artefact as it is served: its own outputs, through onnxruntime, on labelled rows. No torch here."""

from math import log, pi
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from app.contract.schema import Contract
from app.contract.tasks.classification import ClassificationEvaluation
from app.contract.tasks.regression import RegressionEvaluation
from models import artefact
from models.data import DatasetError, Split

BINS = 15

Floats = NDArray[np.floating[Any]]


def evaluate(
    model: onnx.ModelProto, contract: Contract, data: str, split: Split
) -> ClassificationEvaluation | RegressionEvaluation:
    """What an artefact reaches on a split, which `data` names: of a classifier accuracy, NLL and calibration error, of
    a regressor its errors, NLL, and how its intervals hold.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
    """
    check_rows(contract, split)
    return (_classifier if contract.task == "classification" else _regressor)(model, contract, data, split)


def _classifier(model: onnx.ModelProto, contract: Contract, data: str, split: Split) -> ClassificationEvaluation:
    found = artefact.run(model, split.inputs, ["prediction", "probabilities", "submodels", "logits"])
    probabilities, uncalibrated = found["probabilities"], np.exp(log_mean_probability(found["logits"], 1.0))
    right = found["prediction"] == split.labels
    log_probability = log_mean_probability(found["logits"], contract.temperature)  # that of p̄ in float32 may be log 0
    return ClassificationEvaluation(
        data=data,
        rows=len(split),
        accuracy=float(right.mean()),
        nll=float(-log_probability[np.arange(len(split)), split.labels].mean()),
        ece=calibration_error(probabilities.max(axis=-1), right),
        ece_uncalibrated=calibration_error(uncalibrated.max(axis=-1), uncalibrated.argmax(axis=-1) == split.labels),
        submodel_accuracy=tuple((found["submodels"].argmax(axis=-1) == split.labels[:, None]).mean(axis=0).tolist()),
    )


def _regressor(model: onnx.ModelProto, contract: Contract, data: str, split: Split) -> RegressionEvaluation:
    names = ["prediction", "variance", "submodels", *(["submodel_variances"] if contract.has_temperature else [])]
    found = artefact.run(model, split.inputs, names)
    errors = np.abs(split.labels.astype(np.float64) - found["prediction"])
    spread = np.sqrt(found["variance"].astype(np.float64))
    nll = None
    if contract.has_temperature:
        nll = float(-log_mixture(split.labels, found["submodels"], found["submodel_variances"]).mean())
    kept = contract.calibration.intervals if contract.calibration else ()
    reach = {f"{100 * interval.coverage:g}": spread * np.array(interval.factors) for interval in kept}
    return RegressionEvaluation(
        data=data,
        rows=len(split),
        rmse=tuple(np.sqrt(np.square(errors).mean(axis=0)).tolist()),
        nll=nll,
        coverage={percent: tuple((errors <= far).mean(axis=0).tolist()) for percent, far in reach.items()},
        width={percent: tuple((2 * far).mean(axis=0).tolist()) for percent, far in reach.items()},
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


def log_mixture(truth: Floats, means: Floats, variances: Floats) -> NDArray[np.float64]:
    """ln density [B] of true values [B, D] under the mixture of the submodels' normal distributions, in float64.

    Means and variances [B, N, D], targets independent given the submodel: ln mean_n Π_d 𝒩(y_d; μ_nd, σ²_nd)
    (Lakshminarayanan et al. 2017, arXiv 1612.01474, section 2.4).
    """
    error, spread = truth.astype(np.float64)[:, None] - means, variances.astype(np.float64)
    log_p = -0.5 * (log(2 * pi) + np.log(spread) + np.square(error) / spread).sum(axis=-1)
    return np.asarray(logsumexp(log_p, axis=1) - np.log(means.shape[1]))


def check_rows(contract: Contract, split: Split) -> None:
    """Holds labelled rows against what a model takes and can answer. Of inputs that are read when they are needed only
    dtype and shape are looked at.

    Raises:
        DatasetError: no rows, another dtype or shape, values that are not finite or outside the declared range, or a
            label that is none: for a classifier a whole number below that of the classes, for a regressor a finite
            number for each target.
    """
    given, inputs = contract.inputs[0], split.inputs
    for name, array in (("inputs", inputs), ("labels", split.labels)):
        if not isinstance(getattr(array, "dtype", None), np.dtype):
            raise DatasetError(f"{name}: expected a NumPy array, got {type(array).__name__}")
    (_check_classes if contract.task == "classification" else _check_values)(contract, split)
    if (str(inputs.dtype), inputs.shape[1:]) != (given.dtype, contract.sizes(given)[1:]):
        raise DatasetError(
            f"inputs: expected {given.dtype} {list(given.shape)}, got {inputs.dtype} {list(inputs.shape)}"
        )
    low, high = given.range or (-np.inf, np.inf)
    if isinstance(inputs, np.ndarray) and not (
        np.isfinite(inputs).all() and low <= inputs.min() and inputs.max() <= high
    ):
        raise DatasetError(
            f"inputs: expected finite values in [{low:g}, {high:g}] ({given.unit}), "
            f"got {inputs.min():g} to {inputs.max():g}"
        )


def _check_classes(contract: Contract, split: Split) -> None:
    labels, classes = split.labels, len(contract.labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) != len(split.inputs):
        raise DatasetError(
            f"labels: expected a whole number for each of the {len(split.inputs)} rows, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    if not len(labels):
        raise DatasetError("there are no rows")
    if labels.min() < 0 or labels.max() >= classes:
        raise DatasetError(
            f"labels: expected 0 to {classes - 1} for the model's {classes} classes, "
            f"got {labels.min()} to {labels.max()}"
        )


def _check_values(contract: Contract, split: Split) -> None:
    labels, wanted = split.labels, (len(split.inputs), len(contract.targets))
    if labels.dtype.kind != "f" or labels.shape != wanted:
        raise DatasetError(
            f"labels: expected true values [{wanted[0]}, {wanted[1]}], one for each row and target, "
            f"got {labels.dtype} {list(labels.shape)}"
        )
    if not len(labels):
        raise DatasetError("there are no rows")
    if not np.isfinite(labels).all():
        raise DatasetError("labels: expected finite values")
