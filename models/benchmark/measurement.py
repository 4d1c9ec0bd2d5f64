"""Measures a classifier for pictures as it is served: its artefact, through onnxruntime, on test rows, on the same made
worse, and on inputs of another world."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from app.contract.schema import Contract
from models import artefact
from models.data import Split
from models.data.corrupted import Corrupted
from models.evaluation import metrics
from models.evaluation.evaluation import log_mean_probability

Floats = NDArray[np.floating[Any]]

SCORES = ("entropy", "mutual_information", "energy", "max_probability")
"""`max_probability` is 1 − max p̄, which like the others is higher for stranger rows."""


def measure(
    model: onnx.ModelProto,
    contract: Contract,
    test: Split,
    strange: Mapping[str, Any],
    corrupted: Corrupted,
) -> dict[str, Any]:
    """Every figure of one classifier, as JSON has it.

    Args:
        test: rows that took part in nothing else.
        strange: inputs of another world, by name.
        corrupted: test rows made worse, kind by kind and severity by severity.

    Returns:
        `test` (accuracy and so on before and after calibration), `corrupted` (by kind, a list over the severities)
        and `strange` (by name and score: AUROC, AUPR, FPR95).
    """
    session = artefact.session(model, artefact.where(model))
    found = _run(session, test.inputs)
    return {
        "method": contract.method,
        "num_submodels": contract.num_submodels,
        "temperature": contract.temperature,
        "test": _predictive(found, test.labels, contract.temperature),
        "corrupted": _corrupted(session, corrupted, contract.temperature),
        "strange": {
            name: {score: metrics.detection(_score(found, score), _score(other, score)) for score in SCORES}
            for name, other in ((name, _run(session, rows)) for name, rows in strange.items())
        },
    }


def _run(session: onnxruntime.InferenceSession, rows: Any) -> dict[str, NDArray[Any]]:
    names = ["probabilities", "submodels", "entropy", "mutual_information", "energy", "logits"]
    return artefact.run_session(session, rows, names)


def _score(found: Mapping[str, NDArray[Any]], score: str) -> Floats:
    return 1 - found["probabilities"].max(axis=-1) if score == "max_probability" else found[score]


def _predictive(found: Mapping[str, NDArray[Any]], labels: NDArray[np.int64], temperature: float) -> dict[str, Any]:
    wrong = found["probabilities"].argmax(axis=-1) != labels
    return {
        "accuracy": metrics.accuracy(found["probabilities"], labels),
        **{f"{name}_uncalibrated": value for name, value in _calibration(found["logits"], labels, 1.0).items()},
        **_calibration(found["logits"], labels, temperature),
        "aurc": {score: metrics.risk_coverage_area(_score(found, score), wrong) for score in SCORES},
        "risk_by_coverage": {score: metrics.risk_by_coverage(_score(found, score), wrong) for score in SCORES},
        "reliability_uncalibrated": metrics.reliability(np.exp(log_mean_probability(found["logits"], 1.0)), labels),
        "reliability": metrics.reliability(found["probabilities"], labels),
        "disagreement": metrics.disagreement(found["submodels"].argmax(axis=-1)),
        "entropy": float(found["entropy"].mean()),
        "mutual_information": float(found["mutual_information"].mean()),
    }


def _calibration(logits: Floats, labels: NDArray[np.int64], temperature: float) -> dict[str, float]:
    log_p = log_mean_probability(logits, temperature)
    probabilities = np.exp(log_p)
    return {
        "nll": float(-log_p[np.arange(len(labels)), labels].mean()),
        "brier": metrics.brier(probabilities, labels),
        "ece": metrics.calibration_error(probabilities, labels),
        "adaptive_ece": metrics.adaptive_calibration_error(probabilities, labels),
    }


def _corrupted(
    session: onnxruntime.InferenceSession, corrupted: Corrupted, temperature: float
) -> dict[str, list[dict[str, float]]]:
    """By kind a list over the severities."""
    figures: dict[str, list[dict[str, float]]] = {}
    for kind, _, split in corrupted:
        found = _run(session, split.inputs)
        figures.setdefault(kind, []).append(
            {
                "accuracy": metrics.accuracy(found["probabilities"], split.labels),
                "ece_uncalibrated": _ece(found["logits"], split.labels, 1.0),
                "ece": _ece(found["logits"], split.labels, temperature),
                "entropy": float(found["entropy"].mean()),
                "mutual_information": float(found["mutual_information"].mean()),
            }
        )
    return figures


def _ece(logits: Floats, labels: NDArray[np.int64], temperature: float) -> float:
    return metrics.calibration_error(np.exp(log_mean_probability(logits, temperature)), labels)


def macs(contracts: Sequence[Contract]) -> int | None:
    """Multiply-accumulates for one row, all submodels together, under the cheapest of a model's plans; None where the
    contracts do not tell."""
    return min((contract.compilation.macs for contract in contracts if contract.compilation), default=None)


def weights(model: onnx.ModelProto) -> int:
    """Numbers that a file holds."""
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
