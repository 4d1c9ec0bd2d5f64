"""Whether a network of words doubts where it should: `python -m tests.bench.languages CHECKPOINT… [--data FOLDER]`.

Expected entropy of words that several languages share beside words of one, and scores of words of languages that the
network never saw beside test words. In torch, before a temperature is fitted; nats.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.languages import UNKNOWN, languages, membership, unseen
from models.evaluation.metrics import accuracy, calibration_error, detection
from models.layers import submodels
from models.training.trainer import load

Floats = NDArray[np.float64]
SCORES = ("expected_entropy", "entropy", "mutual_information")


def answers(network: torch.nn.Module, rows: NDArray[np.int64]) -> tuple[Floats, dict[str, Floats]]:
    """Probabilities [B, K] and scores [B] of ids [B, T]."""
    with torch.no_grad():
        parts = [submodels(network, part).double().softmax(-1) for part in torch.from_numpy(rows).split(1000)]
    each = torch.cat(parts, dim=1).numpy()
    expected, entropy = _entropy(each).mean(axis=0), _entropy(each.mean(axis=0))
    return each.mean(axis=0), dict(zip(SCORES, (expected, entropy, entropy - expected)))


def measure(network: torch.nn.Module, folder: Path | None) -> dict[str, Any]:
    """Every figure, by name."""
    test = languages(folder).test
    rows = np.asarray(test.inputs)
    shared = membership(rows, folder).sum(axis=1) > 1
    probabilities, scores = answers(network, rows)
    found: dict[str, Any] = {
        "accuracy": accuracy(probabilities, test.labels),
        "accuracy, words of one language": accuracy(probabilities[~shared], test.labels[~shared]),
        "accuracy, shared words": accuracy(probabilities[shared], test.labels[shared]),
        "nll": float(-np.log(probabilities[np.arange(len(rows)), test.labels]).mean()),
        "ece": calibration_error(probabilities, test.labels),
        "test words": {"rows": len(rows)} | {score: float(scores[score].mean()) for score in SCORES},
        "shared, beside words of one language": _beside(
            {score: values[~shared] for score, values in scores.items()},
            {score: values[shared] for score, values in scores.items()},
        ),
    }
    for language, words in unseen(folder).items():
        found[f"{language}, beside test words"] = _beside(scores, answers(network, words)[1])
        readable = words[(words != UNKNOWN).all(axis=1)]
        found[f"{language} without unknown letters, beside test words"] = _beside(scores, answers(network, readable)[1])
    return found


def _entropy(probabilities: Floats) -> Floats:
    return np.asarray(-(probabilities * np.log(probabilities.clip(1e-300))).sum(axis=-1))


def _beside(usual: dict[str, Floats], doubtful: dict[str, Floats]) -> dict[str, Any]:
    """Rows, means, and how well each score tells doubtful rows from usual ones."""
    return {"rows": len(doubtful[SCORES[0]])} | {
        score: {
            "mean": float(doubtful[score].mean()),
            "usual mean": float(usual[score].mean()),
            "auroc": detection(usual[score], doubtful[score])["auroc"],
        }
        for score in SCORES
    }


def _show(name: str, value: Any) -> None:
    if not isinstance(value, dict):
        print(f"  {name}: {value:.4f}")
        return
    print(f"  {name}, {value['rows']} rows")
    for score in SCORES:
        one = value[score]
        print(
            f"    {score}: {one:.4f}"
            if isinstance(one, float)
            else f"    {score}: {one['mean']:.4f} beside {one['usual mean']:.4f}, AUROC {one['auroc']:.4f}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    for path in options.checkpoint:
        recipe, network = load(path)
        weights = sum(parameter.numel() for parameter in network.parameters())
        print(f"{path}: {recipe.method}, S = {recipe.scale:g}, {recipe.epochs} epochs, {weights} weights")
        for name, value in measure(network, options.data).items():
            _show(name, value)
