"""What a regressor's outputs should be."""

from math import e, log, pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.tasks.task import row_output
from models.export.verification.task import ABSOLUTE, RELATIVE, Arrays, Raw, TaskVerifier


class RegressionVerifier(TaskVerifier):
    """Means may differ by 1e-6 + 1e-5 of the largest mean; the tolerance of all else follows from that."""

    allowed = f"{RELATIVE} of the largest mean"

    def expected(self, raw: Raw, head: Head) -> dict[str, NDArray[Any]]:
        return dict(regressor_reference(raw, len(head.targets), head.temperature))

    def shares(self, found: Arrays, raw: Raw, head: Head) -> dict[str, float]:
        expected = self.expected(raw, head)
        allowed = _allowed(raw, len(head.targets), expected)
        # a mean over the grid is no less exact than the largest of what it is a mean of
        allowed |= {row_output(name): np.asarray(each.max()) for name, each in allowed.items()}
        return {name: float((np.abs(values - expected[name]) / allowed[name]).max()) for name, values in found.items()}


def regressor_reference(raw: Raw, targets: int, temperature: float) -> dict[str, NDArray[np.float64]]:
    """The outputs of a regressor from its network's [B, N, D, *G] or [B, N, 2·D, *G], in float64; those of rows if
    there is a grid."""
    means, log_variances = raw[:, :, :targets].astype(np.float64), raw[:, :, targets:].astype(np.float64)
    epistemic = means.var(axis=1)
    outputs = {"prediction": means.mean(axis=1), "submodels": means, "epistemic_variance": epistemic}
    cells = tuple(range(3, raw.ndim))
    if cells:
        outputs[row_output("prediction")] = means.mean(axis=(1, *cells))
        outputs[row_output("submodels")] = means.mean(axis=cells)
    # a network that predicts D means alone
    if not log_variances.size:
        return {**outputs, "variance": epistemic}
    variances = np.exp(log_variances) * temperature
    aleatoric = variances.mean(axis=1)
    entropy = 0.5 * np.log(2 * pi * e * (aleatoric + epistemic)).sum(axis=1)
    expected = 0.5 * (log(2 * pi * e * temperature) + log_variances).sum(axis=2).mean(axis=1)
    scores = {
        "entropy": entropy,
        "expected_entropy": expected,
        "mutual_information": np.maximum(entropy - expected, 0),
    }
    if cells:
        outputs |= {row_output(name): values.reshape(len(raw), -1).mean(axis=1) for name, values in scores.items()}
    return {
        **outputs,
        **scores,
        "variance": aleatoric + epistemic,
        "aleatoric_variance": aleatoric,
        "submodel_variances": variances,
    }


def _allowed(raw: Raw, targets: int, expected: Arrays) -> dict[str, NDArray[np.float64]]:
    """The tolerance of each output, given one of 1e-6 + 1e-5 of the largest value for the network's means and ln
    variances: what follows from that to first order, plus the same relative share of the output itself."""

    def near(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(ABSOLUTE + RELATIVE * np.abs(values).max(initial=0), np.float64)

    step, epistemic = near(raw[:, :, :targets]), expected["epistemic_variance"]
    spread = 2 * np.sqrt(epistemic) * step + step**2 + RELATIVE * epistemic
    allowed = {"prediction": step, "submodels": step, "epistemic_variance": spread, "variance": spread}
    if "aleatoric_variance" not in expected:
        return allowed
    log_step = near(raw[:, :, targets:])
    total = spread + log_step * expected["aleatoric_variance"]
    of_expected = targets / 2 * log_step + near(expected["expected_entropy"])
    of_entropy = (total / expected["variance"]).sum(axis=1) / 2 + near(expected["entropy"])
    return {
        **allowed,
        "variance": total,
        "aleatoric_variance": log_step * expected["aleatoric_variance"],
        "submodel_variances": log_step * expected["submodel_variances"],
        "entropy": of_entropy,
        "expected_entropy": of_expected,
        "mutual_information": of_entropy + of_expected,
    }
