"""Networks of one logit z, whose sigmoid is the probability of the second of two classes, against a torch loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from models import artefact, runtime
from models.data import Split
from models.export import ExportOptions, export
from models.layers import submodels
from models.networks.mlp import mlp

LABELS = ("negative", "positive")


def masked() -> nn.Module:
    return mlp((6,), 1, submodels=4, scale=2.0, align=1, hidden=(16, 16)).eval()


def plain(dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1)).eval()


def by_loop(networks: Sequence[nn.Module], x: Tensor, temperature: float = 1.0) -> dict[str, np.ndarray]:
    """What two classes with the probabilities 1 − sigmoid(z) and sigmoid(z) have, in float64."""
    with torch.no_grad():
        logits = submodels(networks[0], x) if len(networks) == 1 else torch.stack([one(x) for one in networks])
    yes = (logits.double() / temperature).sigmoid()
    p = torch.cat([1 - yes, yes], dim=-1)
    mean = p.mean(dim=0)
    entropy, expected = torch.special.entr(mean).sum(dim=-1), torch.special.entr(p).sum(dim=-1).mean(dim=0)
    found = {
        "prediction": (mean[:, 1] > 0.5).long(), "probabilities": mean, "submodels": p.transpose(0, 1),
        "entropy": entropy, "expected_entropy": expected, "mutual_information": entropy - expected,
    }  # fmt: skip
    return {name: values.numpy() for name, values in found.items()}


def assert_agrees(model: onnx.ModelProto, networks: Sequence[nn.Module], temperature: float = 1.0) -> None:
    for batch in (1, 2, 7):
        x = torch.randn(batch, 6)
        wanted = by_loop(networks, x, temperature)
        for name, values in runtime.run(model, x.numpy(), list(wanted)).items():
            np.testing.assert_allclose(values, wanted[name], rtol=1e-5, atol=2e-6, err_msg=f"{name}, batch {batch}")


@pytest.mark.parametrize("plan", ["folded", "branches", "grouped"])
def test_masks_in_every_plan(tmp_path: Path, plan: Any) -> None:
    network = masked()
    path = export(network, torch.randn(4, 6), ExportOptions(labels=LABELS, plan=plan), name="b", repository=tmp_path)
    for file in path.parent.glob("*.onnx"):
        assert_agrees(onnx.load(file), [network])


def test_a_deep_ensemble_and_a_single_network(tmp_path: Path) -> None:
    for name, networks in (("ensemble", [plain(), plain(), plain()]), ("single", [plain()])):
        given = networks if len(networks) > 1 else networks[0]
        export(given, torch.randn(4, 6), ExportOptions(labels=LABELS), name=name, repository=tmp_path)
        assert_agrees(artefact.read(tmp_path, name)[0], networks)


def test_mc_dropout(tmp_path: Path) -> None:
    options = ExportOptions(labels=LABELS, mc_dropout=4)
    export(plain(0.3), torch.randn(4, 6), options, name="b", repository=tmp_path)  # verified against the loop
    model, contract, _ = artefact.read(tmp_path, "b")
    assert (contract.method, contract.num_submodels, contract.head.labels) == ("mc-dropout", 4, LABELS)
    found = runtime.run(model, np.ones((3, 6), np.float32), ["logits", "submodels"])
    assert (found["logits"][..., 0] == -found["logits"][..., 1]).all()
    yes = 1 / (1 + np.exp(-2 * found["logits"][..., 1].astype(np.float64)))
    np.testing.assert_allclose(found["submodels"][..., 1], yes, rtol=1e-5)


def test_float16_stays_within_its_tolerance(tmp_path: Path) -> None:
    network = masked()
    options = ExportOptions(labels=LABELS, precision="float16")
    export(network, torch.randn(64, 6), options, name="b", repository=tmp_path)
    x = torch.randn(50, 6)
    found = runtime.run(artefact.read(tmp_path, "b")[0], x.numpy(), ["entropy"])["entropy"]
    assert 0 < np.abs(found - by_loop([network], x)["entropy"]).max() <= 5e-3


def test_it_is_calibrated_and_evaluated_as_a_classifier(tmp_path: Path) -> None:
    network, rng = masked(), np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    with torch.no_grad():
        z = submodels(network, torch.from_numpy(x)).mean(dim=0)[:, 0].numpy()
    labels = (rng.random(400) < 1 / (1 + np.exp(-4 * z))).astype(np.int64)  # as if its logits were four times as large
    options = ExportOptions(labels=LABELS, calibration=Split(x, labels), evaluation=Split(x, labels), data="made up")
    export(network, torch.from_numpy(x[:2]), options, name="b", repository=tmp_path)
    model, contract, _ = artefact.read(tmp_path, "b")
    assert 0.1 < contract.head.temperature < 0.5
    assert contract.head.calibration is not None
    assert contract.head.calibration.prediction_sets
    assert contract.head.evaluation is not None
    assert_agrees(model, [network], contract.head.temperature)


def test_one_label_is_refused_and_told_what_to_give(tmp_path: Path) -> None:
    message = "a network of one logit tells two classes apart, got 1 label: name both, first that of a negative logit"
    with pytest.raises(ValueError, match=message):
        export(masked(), torch.randn(4, 6), ExportOptions(labels=["positive"]), name="b", repository=tmp_path)
