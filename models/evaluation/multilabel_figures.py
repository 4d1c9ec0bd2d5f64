"""All figures of a multilabel model, in its contract and beyond: of each label by itself, and of rows as a whole.

Likelihood and Brier score are means over rows and labels, so that they compare with the entropy, a mean over labels.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.tasks import TASKS
from app.contract.tasks.multilabel import SCORES, MultilabelEvaluation
from models.evaluation import curves, metrics
from models.evaluation.answers import Answers, Outputs
from models.evaluation.likelihood import Floats, binary_cross_entropy, log_mean_labels


def reached(head: Head, data: str, answers: Answers) -> MultilabelEvaluation:
    """The figures in a contract."""
    from sklearn.metrics import f1_score  # here: it takes a second, and not every command measures

    found, labels = answers.outputs, answers.labels == 1
    predicted = found["prediction"] == 1
    return MultilabelEvaluation(
        data=data,
        rows=len(answers),
        exact_match=float((predicted == labels).all(axis=-1).mean()),
        micro_f1=float(f1_score(labels.ravel(), predicted.ravel(), zero_division=0)),
        macro_f1=float(np.mean([f1_score(*columns, zero_division=0) for columns in zip(labels.T, predicted.T)])),
        nll=binary_cross_entropy(found["logits"], labels, head.temperature),
        brier=float(np.square(found["probabilities"].astype(np.float64) - labels).mean()),
        ece=float(np.mean(_errors(found["probabilities"], labels))),
        ece_uncalibrated=float(np.mean(_errors(_on(found["logits"], 1.0), labels))),
        submodel_exact_match=tuple(((found["logits"] > 0) == labels[:, None]).all(axis=-1).mean(axis=0).tolist()),
        reliability=curves.reliability(metrics.calibration_sums(found["probabilities"].ravel(), labels.ravel())),
        risk_coverage=curves.risk_coverage(head, found, (predicted != labels).any(axis=-1)),
    )


def predictive(head: Head, answers: Answers) -> dict[str, Any]:
    """The same, each label by itself, and what the scores of rows are worth, as JSON-compatible values."""
    found, labels = answers.outputs, answers.labels == 1
    wrong = ((found["prediction"] == 1) != labels).any(axis=-1)
    of_labels = _labels(head, found, labels)
    precisions = [one["average_precision"] for one in of_labels if one["average_precision"] is not None]
    scores = _scores(found)
    return {
        **reached(head, "", answers).model_dump(exclude={"data", "rows", "reliability", "risk_coverage"}),
        "nll_uncalibrated": binary_cross_entropy(found["logits"], labels, 1.0),
        "labels": of_labels,
        "mean_average_precision": float(np.mean(precisions)) if precisions else None,
        "aurc": {score: metrics.risk_coverage_area(values, wrong) for score, values in scores.items()},
        "risk_by_coverage": {score: metrics.risk_by_coverage(values, wrong) for score, values in scores.items()},
        **{
            name: metrics.reliability(
                np.exp(log_mean_labels(found["logits"], temperature)).reshape(-1, 2), labels.ravel().astype(np.int64)
            )
            for name, temperature in (("reliability_uncalibrated", 1.0), ("reliability", head.temperature))
        },
        **{score: float(scores[score].mean()) for score in ("entropy", "mutual_information")},
    }


def corrupted(head: Head, answers: Answers) -> dict[str, float]:
    """Right rows, ECE before and after calibration, and mean uncertainty, for one corruption."""
    found, labels, scores = answers.outputs, answers.labels == 1, _scores(answers.outputs)
    return {
        "exact_match": float(((found["prediction"] == 1) == labels).all(axis=-1).mean()),
        "ece_uncalibrated": float(np.mean(_errors(_on(found["logits"], 1.0), labels))),
        "ece": float(np.mean(_errors(_on(found["logits"], head.temperature), labels))),
        **{score: float(scores[score].mean()) for score in ("entropy", "mutual_information")},
    }


def detection(test: Outputs, ood: Outputs) -> dict[str, dict[str, float]]:
    """AUROC, AUPR and FPR95 of each score of rows."""
    strange = _scores(ood)
    return {score: metrics.detection(values, strange[score]) for score, values in _scores(test).items()}


def describe_label(one: Mapping[str, Any]) -> str:
    """The figures of a label as a line."""
    auroc, precision = ("–" if one[name] is None else f"{one[name]:.4f}" for name in ("auroc", "average_precision"))
    return (
        f"{one['label']}: on in {100 * one['share']:.1f} % of the rows, F1 {one['f1']:.4f}, AUROC {auroc}, "
        f"average precision {precision}, ECE {one['ece']:.4f} (uncalibrated {one['ece_uncalibrated']:.4f})"
    )


def _labels(head: Head, found: Outputs, labels: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Ranks need a row with the label and one without: null where one is lacking."""
    from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

    after, before = (_errors(values, labels) for values in (found["probabilities"], _on(found["logits"], 1.0)))
    described = []
    for index, name in enumerate(head.labels):
        truth, probability = labels[:, index], found["probabilities"][:, index]
        both = 0 < truth.sum() < len(truth)
        described.append(
            {
                "label": name,
                "share": float(truth.mean()),
                "f1": float(f1_score(truth, found["prediction"][:, index] == 1, zero_division=0)),
                "auroc": float(roc_auc_score(truth, probability)) if both else None,
                "average_precision": float(average_precision_score(truth, probability)) if both else None,
                "ece": after[index],
                "ece_uncalibrated": before[index],
            }
        )
    return described


def _errors(probabilities: Floats, labels: NDArray[np.bool_]) -> list[float]:
    """The calibration error of each label [K]: of its probability, against how often it is on."""
    return [metrics.top_calibration_error(of_label, on) for of_label, on in zip(probabilities.T, labels.T)]


def _on(logits: Floats, temperature: float) -> NDArray[np.float64]:
    """p̄ [B, K]."""
    return np.asarray(np.exp(log_mean_labels(logits, temperature)[..., 1]))


def _scores(found: Outputs) -> dict[str, Floats]:
    """The scores of rows [B]."""
    return {score: TASKS["multilabel"].score_value(score, found) for score in SCORES}
