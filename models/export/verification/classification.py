"""What a classifier's outputs should be."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr, log_softmax, logsumexp

from app.contract.schema import Contract
from models.export.heads.classification import two_classes
from models.export.verification.task import ABSOLUTE, RELATIVE, Arrays, Raw, TaskVerifier

# Unbounded sums: one near zero is as uncertain as its largest neighbour.
_SCALED_BY_LARGEST = ("energy", "logits")


class ClassificationVerifier(TaskVerifier):
    """1e-6 + 1e-5·|value| is allowed, for logits and energy with the largest value; for logits beyond 32 in proportion
    more, since float32 is no finer there."""

    allowed = f"{ABSOLUTE} + {RELATIVE}·|value|"

    def expected(self, raw: Raw, contract: Contract) -> dict[str, NDArray[Any]]:
        return classifier_reference(two_classes(torch.from_numpy(raw)).numpy(), contract.temperature)

    def shares(self, found: Arrays, raw: Raw, contract: Contract) -> dict[str, float]:
        expected = self.expected(raw, contract)
        coarse = coarseness(expected["logits"], contract)
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
    """The outputs of a classifier from logits [B, N, K], in float64."""
    z = logits.astype(np.float64)
    # by logarithms: exp of a logit of 1000 overflows
    log_p = log_softmax(z / temperature, axis=-1)
    p = np.exp(log_p)
    mean = p.mean(axis=1)
    entropy, expected = entr(mean).sum(axis=-1), entr(p).sum(axis=-1).mean(axis=1)
    return {
        "prediction": mean.argmax(axis=-1),
        "probabilities": mean,
        "submodels": p,
        "entropy": entropy,
        "expected_entropy": expected,
        "mutual_information": np.maximum(entropy - expected, 0),
        "energy": -logsumexp(z, axis=-1).mean(axis=1),
        "logits": z,
    }


def coarseness(logits: NDArray[Any], contract: Contract) -> float:
    """The factor on the tolerance for logits beyond 32: a float32 of that size is known to 2e-6 at best, and exp passes
    that on to the probabilities."""
    return max(1.0, float(np.abs(logits).max()) / contract.temperature / 32)


def share(values: NDArray[Any], expected: NDArray[Any], *, largest: bool) -> float:
    """The largest difference as a share of what is allowed: for each value, or, if `largest`, for the largest one."""
    size = np.abs(expected).max() if largest else np.abs(expected)
    return float((np.abs(values - expected) / (ABSOLUTE + RELATIVE * size)).max())


def _top_two(probabilities: NDArray[Any], prediction: NDArray[Any]) -> float:
    """A prediction may only differ where two classes are equally probable within the tolerance."""
    top = probabilities.max(axis=-1)
    chosen = np.take_along_axis(probabilities, prediction[:, None], axis=-1)[:, 0]
    return float(((top - chosen) / (2 * (ABSOLUTE + RELATIVE * top))).max())
