"""Figures of a study as measuring gives them, made up: what tables and plots are drawn from."""

from typing import Any

from models.benchmark.studies.entry import Entry
from models.evaluation.classifier_figures import DETECTORS

SINGLE, MASKED, ENSEMBLE, NEAR = COMPARED = (
    Entry("single", seeds=(0,)),
    Entry("masksembles", 2.0, seeds=(0, 1, 2)),
    Entry("deep-ensemble", seeds=(0,)),
    Entry("single", held_out=True, seeds=(0,)),
)


def made(accuracy: float, macs: int = 100, weights: int = 10, disagreement: float | None = None) -> dict[str, Any]:
    """What `measure` tells of one model; kinds of corruption differ by 0.2, severities by 0.01."""
    test = {
        "accuracy": accuracy, "nll_uncalibrated": 0.5, "nll": 0.25, "brier": 0.125, "ece_uncalibrated": 0.06,
        "ece": 0.03, "adaptive_ece": 0.02, "aurc": {"entropy": 0.01}, "disagreement": disagreement,
    }  # fmt: skip
    corrupted = {
        kind: [{"accuracy": value - 0.01 * at, "ece_uncalibrated": 0.2, "ece": 0.1} for at in range(5)]
        for kind, value in (("fog", accuracy - 0.1), ("snow", accuracy - 0.3))
    }
    ood = {
        kind: {score: {"auroc": accuracy, "aupr": 0.7, "fpr95": 0.2} for score in DETECTORS}
        for kind in ("digits", "noise")
    }
    submodels = 1 if disagreement is None else 4
    return {
        "num_submodels": submodels,
        "macs": macs,
        "weights": weights,
        "test": test,
        "corrupted": corrupted,
        "ood": ood,
    }


TIMES = {f"{entry.name}-0": {"1": 2.0, "16": 1.25, "64": 1.0} for entry in COMPARED}

FIGURES = {
    SINGLE.name: [made(0.9)],
    MASKED.name: [made(value, 120, 14, 0.05) for value in (0.91, 0.93, 0.95)],
    ENSEMBLE.name: [made(0.96, 400, 40, 0.1)],
    NEAR.name: [{**made(0.8), "ood": {"held-out classes": made(0.8)["ood"]["noise"]}}],
}
