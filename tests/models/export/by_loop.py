"""The outputs of heads by their definitions, from a plain loop over the submodels in float64."""

from collections.abc import Mapping
from math import e, pi

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.contract.head import Head
from app.contract.schema import Contract
from models.layers import submodels_by_head
from models.runtime import run_session


def assert_agrees(
    session: onnxruntime.InferenceSession, contract: Contract, network: nn.Module, inputs: Mapping[str, Tensor]
) -> None:
    """Every output of every head; `network` takes inputs in natural units, in the order of the contract."""
    found = run_session(
        session, {name: x.numpy() for name, x in inputs.items()}, [tensor.name for tensor in contract.outputs]
    )
    with torch.no_grad():
        raws = submodels_by_head(network, *inputs.values())
    assert len(raws) == len(contract.heads)
    for head, raw in zip(contract.heads, raws, strict=True):
        expected = by_loop(head, raw)
        own = head.own(found)
        assert set(own) == set(expected)
        for name, values in expected.items():
            assert own[name].shape == values.shape, name
            if name == "prediction" and head.task != "regression":
                assert (own[name] != values).mean() < 1e-3  # where two are as probable within rounding
                continue
            # a share may move by the cells that are as probable as others
            size = 1e-5 * np.abs(values).max() + (1e-3 if name == "row_shares" else 2e-6)
            np.testing.assert_allclose(own[name], values, rtol=1e-5, atol=size, err_msg=head.graph_name(name))


def by_loop(head: Head, raw: Tensor) -> dict[str, NDArray[np.float64]]:
    """The outputs of one head from what its network gives, [N, B, K, *G]."""
    z = raw.double()
    found = {"classification": _classes, "multilabel": _labels, "regression": _numbers}[head.task](head, z)
    if head.grid:
        cells = tuple(range(-len(head.grid), 0))
        prediction, scores = found["prediction"], [name for name in head.scores if name != "confidence"]
        if head.task == "regression":
            found["row_prediction"], found["row_submodels"] = (
                found[name].mean(dim=cells) for name in ("prediction", "submodels")
            )
        elif head.task == "multilabel":
            found["row_shares"] = prediction.double().mean(dim=cells)
        else:
            one_hot = nn.functional.one_hot(prediction.flatten(1), len(head.labels)).double()
            found["row_shares"] = one_hot.mean(dim=1)
            found["row_confidence"] = found["probabilities"].max(dim=1).values.flatten(1).mean(dim=1)
        found |= {f"row_{name}": found[name].flatten(1).mean(dim=1) for name in scores}
    return {name: values.numpy() for name, values in found.items()}


def _classes(head: Head, z: Tensor) -> dict[str, Tensor]:
    if z.shape[2] == 1:
        z = torch.cat([-z / 2, z / 2], dim=2)
    p = (z / head.temperature).softmax(dim=2)
    mean = p.mean(dim=0)
    entropy = torch.special.entr(mean).sum(dim=1)
    expected = torch.special.entr(p).sum(dim=2).mean(dim=0)
    return {
        "prediction": mean.argmax(dim=1), "probabilities": mean, "submodels": p.transpose(0, 1),
        "entropy": entropy, "expected_entropy": expected, "mutual_information": entropy - expected,
        "energy": -z.logsumexp(dim=2).mean(dim=0), "logits": z.transpose(0, 1),
    }  # fmt: skip


def _labels(head: Head, z: Tensor) -> dict[str, Tensor]:
    p = (z / head.temperature).sigmoid()
    mean = p.mean(dim=0)

    def entropy(q: Tensor) -> Tensor:
        return torch.special.entr(q) + torch.special.entr(1 - q)

    expected = entropy(p).mean(dim=0)
    return {
        "prediction": (mean > 0.5).long(), "probabilities": mean, "submodels": p.transpose(0, 1),
        "entropy": entropy(mean), "expected_entropy": expected, "mutual_information": entropy(mean) - expected,
        "logits": z.transpose(0, 1),
    }  # fmt: skip


def _numbers(head: Head, z: Tensor) -> dict[str, Tensor]:
    targets = len(head.targets)
    means, epistemic = z[:, :, :targets], z[:, :, :targets].var(dim=0, unbiased=False)
    found = {"prediction": means.mean(dim=0), "submodels": means.transpose(0, 1), "epistemic_variance": epistemic}
    if z.shape[2] == targets:
        return {**found, "variance": epistemic}
    variances = z[:, :, targets:].exp() * head.temperature
    variance = variances.mean(dim=0) + epistemic
    entropy = 0.5 * (2 * pi * e * variance).log().sum(dim=1)
    expected = 0.5 * (2 * pi * e * variances).log().sum(dim=2).mean(dim=0)
    return {
        **found, "variance": variance, "aleatoric_variance": variances.mean(dim=0),
        "submodel_variances": variances.transpose(0, 1), "entropy": entropy, "expected_entropy": expected,
        "mutual_information": entropy - expected,
    }  # fmt: skip
