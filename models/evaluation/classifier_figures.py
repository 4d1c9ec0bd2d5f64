"""All figures of a classifier beyond those of its contract: on test rows, on corrupted rows, and how well its scores
detect out-of-distribution rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation import metrics
from models.evaluation.answers import Answers, Outputs
from models.evaluation.likelihood import Floats, log_mean_probability

SCORES = ("entropy", "mutual_information", "energy", "max_probability")
"""`max_probability` is 1 − max p̄, which like the others is higher for rows unlike the training data."""

DETECTORS = (*SCORES, "max_logit", "divergence")
"""Also −max_k of the submodels' mean logit (Hendrycks et al. 2022, arXiv 1911.11132), and the mean KL divergence of all
pairs of submodels, in nats (Malinin & Gales 2021, arXiv 2002.07650)."""


def predictive(answers: Answers, temperature: float) -> dict[str, Any]:
    """Accuracy, calibration before and after, risk by coverage and disagreement, as JSON-compatible values."""
    found, labels = answers.outputs, answers.labels
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


def corrupted(answers: Answers, temperature: float) -> dict[str, float]:
    """Accuracy, ECE before and after calibration, and mean uncertainty, for one corruption."""
    found, labels = answers.outputs, answers.labels
    return {
        "accuracy": metrics.accuracy(found["probabilities"], labels),
        "ece_uncalibrated": _ece(found["logits"], labels, 1.0),
        "ece": _ece(found["logits"], labels, temperature),
        "entropy": float(found["entropy"].mean()),
        "mutual_information": float(found["mutual_information"].mean()),
    }


def detection(test: Outputs, ood: Outputs) -> dict[str, dict[str, float]]:
    """AUROC, AUPR and FPR95 of each score."""
    return {score: metrics.detection(_score(test, score), _score(ood, score)) for score in DETECTORS}


def _score(found: Outputs, score: str) -> Floats:
    if score == "max_probability":
        return 1 - found["probabilities"].max(axis=-1)  # type: ignore[no-any-return]
    if score == "max_logit":
        return -found["logits"].mean(axis=1).max(axis=-1)  # type: ignore[no-any-return]
    if score == "divergence":
        return _divergence(found["submodels"])
    return found[score]


def _divergence(submodels: Floats) -> Floats:
    """Of probabilities [B, N, K], for each row."""
    log_p = np.log(np.maximum(submodels, np.finfo(np.float32).tiny))
    return (submodels * (log_p - log_p.mean(axis=1, keepdims=True))).sum(axis=-1).mean(axis=1)  # type: ignore[no-any-return]


def _calibration(logits: Floats, labels: NDArray[np.int64], temperature: float) -> dict[str, float]:
    log_p = log_mean_probability(logits, temperature)
    probabilities = np.exp(log_p)
    return {
        "nll": float(-log_p[np.arange(len(labels)), labels].mean()),
        "brier": metrics.brier(probabilities, labels),
        "ece": metrics.calibration_error(probabilities, labels),
        "adaptive_ece": metrics.adaptive_calibration_error(probabilities, labels),
    }


def _ece(logits: Floats, labels: NDArray[np.int64], temperature: float) -> float:
    return metrics.calibration_error(np.exp(log_mean_probability(logits, temperature)), labels)
