"""How far answers of two devices may lie apart: what the exporter's verification allows, without torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

ABSOLUTE, RELATIVE = 1e-6, 1e-5  # of float32, as in models/export/verification
USUAL, LARGEST = 1e-3, 5e-3  # nats that 99 % of entropies in float16, and all, may be off
_SCALED_BY_LARGEST = ("energy", "logits")


def shares(found: Arrays, expected: Arrays, task: str) -> dict[str, float]:
    """The largest difference of each output as a share of what is allowed; NaN gives infinity.

    Of a regressor only means and variances of the submodels are compared, which all else follows from.
    """
    if task == "regression":
        compared = {"submodels": _share(found["submodels"], expected["submodels"], largest=True)}
        if "submodel_variances" in found:
            logs = [np.log(each["submodel_variances"]) for each in (found, expected)]
            compared["submodel_variances"] = _share(*logs, largest=True)
        return compared
    # a float32 of 32 and above is known to 2e-6 at best, and exp passes that on to the probabilities
    coarse = max(1.0, float(np.abs(expected["logits"]).max()) / 32) if "logits" in expected else 1.0
    return {
        name: (
            _top_two(expected["probabilities"], values)
            if name == "prediction"
            else _share(values, expected[name], largest=name in _SCALED_BY_LARGEST)
        )
        / coarse
        for name, values in found.items()
    }


def _share(values: NDArray[Any], expected: NDArray[Any], *, largest: bool) -> float:
    size = np.abs(expected).max() if largest else np.abs(expected)
    worst = float((np.abs(values.astype(np.float64) - expected) / (ABSOLUTE + RELATIVE * size)).max())
    return worst if np.isfinite(worst) else float("inf")


def _top_two(probabilities: NDArray[Any], prediction: NDArray[Any]) -> float:
    """A prediction may only differ where two classes are equally probable within the tolerance."""
    top = probabilities.max(axis=-1)
    chosen = np.take_along_axis(probabilities, prediction[:, None], axis=-1)[:, 0]
    return float(((top - chosen) / (2 * (ABSOLUTE + RELATIVE * top))).max())


def entropy(logits: NDArray[Any]) -> NDArray[np.float64]:
    """H[p̄] in nats of logits [B, N, K] at temperature 1, [B]."""
    z = logits.astype(np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    mean = p.mean(axis=1)
    return -(mean * np.log(np.maximum(mean, 1e-300))).sum(axis=-1)
