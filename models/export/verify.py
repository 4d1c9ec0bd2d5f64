"""Checks a finished artefact in onnxruntime against a plain torch loop over the masks."""

from collections.abc import Mapping, Sequence
from math import e, log, pi
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from scipy.special import entr, log_softmax, logsumexp
from torch import Tensor, nn

from models import artefact
from models.export.head import two_sided
from models.layers import submodels

ABSOLUTE, RELATIVE = 1e-6, 1e-5
HALF_USUAL, HALF_LARGEST = 1e-3, 5e-3
"""Nats that 99 % of the entropies, and all of them, may differ by in half precision."""
_ROWS_AT_ONCE = 16
BATCHES = (1, 2, 3, 5, 16)
ALONE = 3
"""At this batch size the torch loop takes the rows one by one."""
# Unbounded sums: one near zero is as uncertain as its largest neighbour.
_SCALED_BY_LARGEST = ("energy", "logits")


class VerificationError(artefact.ArtefactError):
    """An artefact does not answer as the network it was made from."""


def verify(model: onnx.ModelProto, network: nn.Module, rows: Tensor, temperature: float) -> float:
    """Compares every output at several batch sizes; `network` takes `rows` in the artefact's own input units.

    Returns:
        The largest difference as a share of what is allowed: 1e-6 + 1e-5·|value|, for logits and energy with the
        largest value; for logits beyond 32 in proportion more, since float32 is no finer there. Of a regressor the
        same for means, with the largest value, and what follows from that for all else: see `_allowed`.

    Raises:
        VerificationError: an output differs by more than that, or is not finite; the message names it.
    """
    worst = 0.0
    names = [output.name for output in model.graph.output]
    classifies = "logits" in names
    session = artefact.session(model)
    for batch in BATCHES:
        x = torch.cat([rows] * -(-batch // len(rows)))[:batch]
        parts = x.split(1) if batch == ALONE else [x]  # one by one: a network that mixes rows answers otherwise
        found = artefact.run_session(session, x.numpy(), names)
        if classifies:
            shares = _classifier_shares(found, _logits(network, parts), temperature)
        else:
            raw = _outputs(network, parts)
            targets = raw.shape[-1] // 2 if "aleatoric_variance" in names else raw.shape[-1]
            shares = _regressor_shares(found, raw, targets, temperature)
        for name, share in shares.items():
            if not share <= 1:
                mixed = ", run row by row: does the network mix rows?" if batch == ALONE else ""
                limit = f"{ABSOLUTE} + {RELATIVE}·|value|" if classifies else f"{RELATIVE} of the largest mean"
                raise VerificationError(
                    f"{name} at batch size {batch} differs from the torch loop{mixed} by {share:.3g} times what is "
                    f"allowed ({limit})"
                )
            worst = max(worst, share)
    return worst


def verify_float16(model: onnx.ModelProto, network: nn.Module, rows: Tensor, temperature: float) -> tuple[float, float]:
    """Compares a model in half precision with its network in float32.

    Returns:
        The difference in entropy that 99 % of the rows stay within, and the largest, in nats.

    Raises:
        VerificationError: they are more than 1e-3 and 5e-3, or a probability differs by more than 5e-3.
    """
    expected = reference(_logits(network, rows.split(_ROWS_AT_ONCE)), temperature)
    session = artefact.session(model)
    for batch in BATCHES:
        part = artefact.run_session(session, rows[:batch].numpy(), ["submodels"])["submodels"]
        wanted = expected["submodels"][:batch]
        if part.shape != wanted.shape or not np.abs(part - wanted).max() <= HALF_LARGEST:
            raise VerificationError(
                f"in half precision submodels at batch size {batch} differ by more than {HALF_LARGEST} from the torch "
                "loop: export this network in float32"
            )
    found = artefact.run_session(session, rows.numpy(), ["probabilities", "entropy"])
    difference = np.abs(found["entropy"] - expected["entropy"])
    usual, largest = float(np.quantile(difference, 0.99)), float(difference.max())
    if not (usual <= HALF_USUAL and largest <= HALF_LARGEST):
        raise VerificationError(
            f"in half precision 99 % of the entropies are within {usual:.2g} nats and all within {largest:.2g}, "
            f"allowed are {HALF_USUAL} and {HALF_LARGEST}: export this network in float32"
        )
    if not (worst := float(np.abs(found["probabilities"] - expected["probabilities"]).max())) <= HALF_LARGEST:
        raise VerificationError(f"in half precision a probability differs by {worst:.2g}, allowed is {HALF_LARGEST}")
    return usual, largest


def _outputs(network: nn.Module, parts: Sequence[Tensor]) -> NDArray[np.floating[Any]]:
    """[B, N, …] of the plain loop, the rows part by part."""
    with torch.no_grad():
        return torch.cat([submodels(network, part) for part in parts], dim=1).permute(1, 0, 2).numpy()


def _logits(network: nn.Module, parts: Sequence[Tensor]) -> NDArray[np.floating[Any]]:
    """[B, N, K]."""
    return two_sided(torch.from_numpy(_outputs(network, parts))).numpy()


def reference(logits: NDArray[np.floating[Any]], temperature: float) -> dict[str, NDArray[Any]]:
    """The outputs of a classifier from logits [B, N, K], in float64."""
    z = logits.astype(np.float64)
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


def regressor_reference(
    raw: NDArray[np.floating[Any]], targets: int, temperature: float
) -> dict[str, NDArray[np.float64]]:
    """The outputs of a regressor from its network's [B, N, D] or [B, N, 2·D], in float64."""
    means, log_variances = raw[..., :targets].astype(np.float64), raw[..., targets:].astype(np.float64)
    epistemic = means.var(axis=1)
    outputs = {"prediction": means.mean(axis=1), "submodels": means, "epistemic_variance": epistemic}
    if not log_variances.size:
        return {**outputs, "variance": epistemic}
    variances = np.exp(log_variances) * temperature
    aleatoric = variances.mean(axis=1)
    entropy = 0.5 * np.log(2 * pi * e * (aleatoric + epistemic)).sum(axis=-1)
    expected = 0.5 * (log(2 * pi * e * temperature) + log_variances).sum(axis=-1).mean(axis=1)
    return {
        **outputs,
        "variance": aleatoric + epistemic,
        "aleatoric_variance": aleatoric,
        "submodel_variances": variances,
        "entropy": entropy,
        "expected_entropy": expected,
        "mutual_information": np.maximum(entropy - expected, 0),
    }


def _classifier_shares(
    found: Mapping[str, NDArray[Any]], logits: NDArray[np.floating[Any]], temperature: float
) -> dict[str, float]:
    expected = reference(logits, temperature)
    coarse = max(1.0, float(np.abs(logits).max()) / temperature / 32)  # beyond, float32 itself is coarser
    return {
        name: (
            _top_two(expected["probabilities"], values)
            if name == "prediction"
            else _share(values, expected[name], largest=name in _SCALED_BY_LARGEST)
        )
        / coarse
        for name, values in found.items()
    }


def _regressor_shares(
    found: Mapping[str, NDArray[Any]], raw: NDArray[np.floating[Any]], targets: int, temperature: float
) -> dict[str, float]:
    expected = regressor_reference(raw, targets, temperature)
    allowed = _allowed(raw, targets, expected)
    return {name: float((np.abs(values - expected[name]) / allowed[name]).max()) for name, values in found.items()}


def _allowed(
    raw: NDArray[np.floating[Any]], targets: int, expected: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.float64]]:
    """How far each output of a regressor may be off, when its network's means and ln variances may by 1e-6 + 1e-5 of
    their largest: to first order what follows, and as much again as a share of the value itself."""

    def near(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(ABSOLUTE + RELATIVE * np.abs(values).max(initial=0), np.float64)

    step, epistemic = near(raw[..., :targets]), expected["epistemic_variance"]
    spread = 2 * np.sqrt(epistemic) * step + step**2 + RELATIVE * epistemic
    allowed = {"prediction": step, "submodels": step, "epistemic_variance": spread, "variance": spread}
    if "aleatoric_variance" not in expected:
        return allowed
    log_step = near(raw[..., targets:])
    total = spread + log_step * expected["aleatoric_variance"]
    of_expected = targets / 2 * log_step + near(expected["expected_entropy"])
    of_entropy = (total / expected["variance"]).sum(axis=-1) / 2 + near(expected["entropy"])
    return {
        **allowed,
        "variance": total,
        "aleatoric_variance": log_step * expected["aleatoric_variance"],
        "submodel_variances": log_step * expected["submodel_variances"],
        "entropy": of_entropy,
        "expected_entropy": of_expected,
        "mutual_information": of_entropy + of_expected,
    }


def _share(values: NDArray[Any], expected: NDArray[Any], *, largest: bool) -> float:
    size = np.abs(expected).max() if largest else np.abs(expected)
    return float((np.abs(values - expected) / (ABSOLUTE + RELATIVE * size)).max())


def _top_two(probabilities: NDArray[Any], prediction: NDArray[Any]) -> float:
    """A prediction may only differ where two classes are equally probable within the tolerance."""
    top = probabilities.max(axis=-1)
    chosen = np.take_along_axis(probabilities, prediction[:, None], axis=-1)[:, 0]
    return float(((top - chosen) / (2 * (ABSOLUTE + RELATIVE * top))).max())
