"""Metrics of predictions against the truth, and of scores that detect out-of-distribution inputs.

All take NumPy arrays and return numbers, by torchmetrics if it has the metric. Functions that need torch import it
themselves, so that evaluation starts without it.
"""

import numpy as np
from numpy.typing import NDArray

from models.evaluation.likelihood import Floats

Labels = NDArray[np.int64]

BINS = 15
"""Number of bins of a calibration error."""


def accuracy(probabilities: Floats, labels: Labels) -> float:
    """Share of rows whose most probable class [B, K] is the true one [B]."""
    return float((probabilities.argmax(axis=-1) == labels).mean())


def brier(probabilities: Floats, labels: Labels) -> float:
    """Mean of Σ_k (p̄_k − 1[y = k])², from 0 to 2 (Brier 1950, in its form for several classes)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities.astype(np.float64) - truth) ** 2).sum(axis=-1).mean())


def calibration_error(probabilities: Floats, labels: Labels) -> float:
    """Expected calibration error of the most probable class, 15 bins of equal width (Guo et al. 2017)."""
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    found = multiclass_calibration_error(
        torch.from_numpy(probabilities.astype(np.float64)),
        torch.from_numpy(labels),
        num_classes=probabilities.shape[1],
        n_bins=BINS,
    )
    return float(found)


def top_calibration_error(confidence: Floats, right: NDArray[np.bool_] | Floats) -> float:
    """The same without torch, from the probability of the most probable class [B] and whether that class is right [B].

    Σ over bins of (rows in bin / rows) · |accuracy − mean confidence| (arXiv 1706.04599). Of dense rows: from the mean
    confidence and the share of right cells of each.
    """
    _, sure, hits = calibration_sums(confidence, right)
    return float(np.abs(hits - sure).sum() / len(confidence))


def calibration_sums(confidence: Floats, right: NDArray[np.bool_] | Floats) -> NDArray[np.float64]:
    """[3, 15] rows, and sums of their confidence and of what is right, in each bin; they add up over chunks of rows."""
    # bins are open below and closed above, as in the paper; a confidence of 0 joins the first
    bins = np.clip(np.ceil(confidence.astype(np.float64) * BINS) - 1, 0, BINS - 1).astype(int)
    return np.stack([np.bincount(bins, of, BINS) for of in (np.ones(len(bins)), confidence.astype(np.float64), right)])


def adaptive_calibration_error(probabilities: Floats, labels: Labels) -> float:
    """The same with 15 bins of equal size (Nixon et al. 2019, arXiv 1904.01685, for the top class)."""
    confidence = probabilities.max(axis=-1).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    right = (probabilities.argmax(axis=-1) == labels)[order]
    gaps = [
        abs((hits - values).sum())
        for hits, values in zip(*(np.array_split(x, BINS) for x in (right, confidence[order])))
    ]
    return float(sum(gaps) / len(labels))


def reliability(probabilities: Floats, labels: Labels) -> list[dict[str, float]]:
    """For each non-empty one of 15 bins of equal width: mean confidence, accuracy, and its share of the rows."""
    confidence = probabilities.max(axis=-1).astype(np.float64)
    right = probabilities.argmax(axis=-1) == labels
    place = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(int)
    return [
        {
            "confidence": float(confidence[place == bin].mean()),
            "accuracy": float(right[place == bin].mean()),
            "share": float((place == bin).mean()),
        }
        for bin in np.unique(place)
    ]


def risk_by_coverage(score: Floats, wrong: NDArray[np.bool_]) -> list[float]:
    """The error among the 1 %, 2 %, … 100 % of the rows with the lowest scores."""
    ordered = wrong[np.argsort(score, kind="stable")]
    ends = np.ceil(np.arange(1, 101) * len(score) / 100).astype(int)
    return [float(ordered[:end].mean()) for end in ends]


def risk_coverage_area(score: Floats, wrong: NDArray[np.bool_]) -> float:
    """AURC: mean over all coverages of the error among the rows with the lowest scores (Geifman et al. 2019).

    arXiv 1805.08206. Rows with equal scores share their errors, so that their order does not matter.
    """
    return float(risks(score, wrong).mean())


def risks(score: Floats, wrong: NDArray[np.bool_] | Floats) -> NDArray[np.float64]:
    """The mean error among the 1, 2, … B rows with the lowest scores; rows with equal scores share their errors."""
    order = np.argsort(score, kind="stable")
    _, group, sizes = np.unique(score[order], return_inverse=True, return_counts=True)
    shared = (np.bincount(group, weights=wrong[order]) / sizes)[group]
    return np.asarray(shared.cumsum() / np.arange(1, len(score) + 1))


def disagreement(votes: NDArray[np.int64]) -> float | None:
    """Share of pairs of submodels that prefer different classes, votes [B, N]; None for one submodel."""
    submodels = votes.shape[1]
    if submodels < 2:
        return None
    first, second = np.triu_indices(submodels, k=1)
    return float((votes[:, first] != votes[:, second]).mean())


def detection(test: Floats, ood: Floats) -> dict[str, float]:
    """How well a score separates out-of-distribution rows, where it should be higher, from test rows; OOD is positive.

    AUROC, AUPR (average precision) and FPR95, the share of test rows taken for OOD when 95 % of the OOD rows are
    detected.
    """
    import torch
    from torchmetrics.functional.classification import (
        binary_auroc,
        binary_average_precision,
        binary_specificity_at_sensitivity,
    )

    scores = torch.from_numpy(np.concatenate([test, ood]).astype(np.float64))
    # torchmetrics takes a sigmoid of what lies outside [0, 1], where large scores would become equal; ranks do not
    _, ranks = torch.unique(scores, return_inverse=True)
    ranked = ranks.double() / max(int(ranks.max()), 1)
    truth = torch.cat([torch.zeros(len(test), dtype=torch.long), torch.ones(len(ood), dtype=torch.long)])
    # ranks keep ties and order, and these metrics use nothing else
    specificity, _ = binary_specificity_at_sensitivity(ranked, truth, min_sensitivity=0.95)
    return {
        "auroc": float(binary_auroc(ranked, truth)),
        "aupr": float(binary_average_precision(ranked, truth)),
        "fpr95": 1 - float(specificity),
    }
