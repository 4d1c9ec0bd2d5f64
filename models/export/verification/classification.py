"""What a classifier's outputs should be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, log_softmax, logsumexp

from app.contract.head import Head
from app.contract.tasks.classification import SCORES
from app.contract.tasks.task import row_output
from models.export.verification.task import ABSOLUTE, RELATIVE, Arrays, Raw, TaskVerifier

SHARES = row_output("shares")
# Unbounded sums: one near zero is as uncertain as its largest neighbour.
_SCALED_BY_LARGEST = ("energy", "logits", row_output("energy"))


class ClassificationVerifier(TaskVerifier):
    """1e-6 + 1e-5·|value| is allowed, for logits and energy with the largest value; for logits beyond 32 in proportion
    more, since float32 is no finer there."""

    allowed = f"{ABSOLUTE} + {RELATIVE}·|value|"

    def expected(self, raw: Raw, head: Head) -> dict[str, NDArray[Any]]:
        return classifier_reference(_two_classes(raw), head.temperature)

    def shares(self, found: Arrays, raw: Raw, head: Head) -> dict[str, float]:
        expected = self.expected(raw, head)
        if head.grid:
            # of the graph's own prediction, which may differ where two classes are equally probable
            expected[SHARES] = _shares(found["prediction"], len(head.labels))
        coarse = coarseness(expected["logits"], head)
        return {
            name: (
                _top_two(expected["probabilities"], values)
                if name == "prediction"
                else share(values, expected[name], largest=name in _SCALED_BY_LARGEST)
            )
            / coarse
            for name, values in found.items()
        }


def classifier_reference(logits: Raw, temperature: float) -> dict[str, NDArray[Any]]:
    """The outputs of a classifier from logits [B, N, K, *G], in float64; those of rows if there is a grid."""
    z = logits.astype(np.float64)
    # by logarithms: exp of a logit of 1000 overflows
    log_p = log_softmax(z / temperature, axis=2)
    p = np.exp(log_p)
    mean = p.mean(axis=1)
    entropy, expected = entr(mean).sum(axis=1), entr(p).sum(axis=2).mean(axis=1)
    found = {
        "prediction": mean.argmax(axis=1),
        "probabilities": mean,
        "submodels": p,
        "entropy": entropy,
        "expected_entropy": expected,
        "mutual_information": np.maximum(entropy - expected, 0),
        "energy": -logsumexp(z, axis=2).mean(axis=1),
        "logits": z,
    }
    if z.ndim == 3:
        return found
    cells = tuple(range(1, z.ndim - 2))
    scores = {name: found[name].mean(axis=cells) for name in SCORES if name in found}
    of_rows = {"confidence": mean.max(axis=1).mean(axis=cells), **scores}
    shares = {SHARES: _shares(found["prediction"], z.shape[2])}
    return found | shares | {row_output(name): values for name, values in of_rows.items()}


def _shares(prediction: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """The share of the cells that each class has, [B, K]."""
    flat = prediction.reshape(len(prediction), -1)
    return np.stack([(flat == index).mean(axis=1) for index in range(classes)], axis=1)


def _two_classes(logits: Raw) -> Raw:
    """One logit as those of two classes, on axis 2."""
    return np.concatenate([-logits / 2, logits / 2], axis=2) if logits.shape[2] == 1 else logits


def coarseness(logits: NDArray[Any], head: Head) -> float:
    """The factor on the tolerance for logits beyond 32: a float32 of that size is known to 2e-6 at best, and exp passes
    that on to the probabilities."""
    return max(1.0, float(np.abs(logits).max()) / head.temperature / 32)


def share(values: NDArray[Any], expected: NDArray[Any], *, largest: bool) -> float:
    """The largest difference as a share of what is allowed: for each value, or, if `largest`, for the largest one."""
    size = np.abs(expected).max() if largest else np.abs(expected)
    return float((np.abs(values - expected) / (ABSOLUTE + RELATIVE * size)).max())


def _top_two(probabilities: NDArray[Any], prediction: NDArray[Any]) -> float:
    """A prediction may only differ where two classes are equally probable within the tolerance."""
    top = probabilities.max(axis=1)
    chosen = np.take_along_axis(probabilities, prediction[:, None], axis=1)[:, 0]
    return float(((top - chosen) / (2 * (ABSOLUTE + RELATIVE * top))).max())
