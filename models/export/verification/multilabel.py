"""What a multilabel model's outputs should be."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, expit

from app.contract.head import Head
from app.contract.tasks.multilabel import SCORES
from app.contract.tasks.task import row_output
from models.export.verification.classification import SHARES, coarseness, share
from models.export.verification.task import ABSOLUTE, RELATIVE, Arrays, Raw, TaskVerifier


class MultilabelVerifier(TaskVerifier):
    """As for a classifier: 1e-6 + 1e-5·|value|, for logits with the largest value, and more for logits beyond 32."""

    allowed = f"{ABSOLUTE} + {RELATIVE}·|value|"

    def expected(self, raw: Raw, head: Head) -> dict[str, NDArray[Any]]:
        return multilabel_reference(raw, head.temperature)

    def shares(self, found: Arrays, raw: Raw, head: Head) -> dict[str, float]:
        expected = self.expected(raw, head)
        if head.grid:  # of the graph's own prediction
            expected[SHARES] = found["prediction"].mean(axis=tuple(range(2, raw.ndim - 1)))
        coarse = coarseness(raw, head)
        return {
            name: (
                _on_the_other_side(expected["probabilities"], values)
                if name == "prediction"
                else share(values, expected[name], largest=name == "logits")
            )
            / coarse
            for name, values in found.items()
        }


def multilabel_reference(logits: Raw, temperature: float) -> dict[str, NDArray[Any]]:
    """The outputs of a multilabel model from logits [B, N, K, *G], in float64; those of rows if there is a grid."""
    z = logits.astype(np.float64)
    on, off = expit(z / temperature), expit(-z / temperature)  # not 1 − on, which is 0 for a logit of 40
    mean, rest = on.mean(axis=1), off.mean(axis=1)
    entropy, expected = entr(mean) + entr(rest), (entr(on) + entr(off)).mean(axis=1)
    found = {
        "prediction": (mean > 0.5).astype(np.int64),
        "probabilities": mean,
        "submodels": on,
        "entropy": entropy,
        "expected_entropy": expected,
        "mutual_information": np.maximum(entropy - expected, 0),
        "logits": z,
    }
    if z.ndim == 3:
        return found
    cells = tuple(range(2, z.ndim - 1))
    scores = {name: found[name].mean(axis=(1, *cells)) for name in SCORES}
    shares = {SHARES: found["prediction"].mean(axis=cells)}
    return found | shares | {row_output(name): values for name, values in scores.items()}


def _on_the_other_side(probabilities: NDArray[Any], prediction: NDArray[Any]) -> float:
    """A prediction may only differ where a label is as probable as not within the tolerance."""
    wrong = (probabilities > 0.5) != (prediction == 1)
    allowed = ABSOLUTE + RELATIVE * probabilities
    return float((np.where(wrong, np.abs(probabilities - 0.5), 0) / allowed).max())
