"""The head of a multilabel model against a plain torch loop, for every method, plan and precision."""

from collections.abc import Sequence
from math import log
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
from models.export.heads import TASKS
from models.export.options import HeadOptions
from models.export.verification.multilabel import MultilabelVerifier, multilabel_reference
from models.layers import submodels
from models.networks.mlp import mlp

LABELS = ("a", "b", "c")


def masked() -> nn.Module:
    return mlp((6,), 3, submodels=4, scale=2.0, align=1, hidden=(16, 16)).eval()


def plain(dropout: float = 0.0) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3)).eval()


def by_loop(networks: Sequence[nn.Module], x: Tensor, temperature: float) -> dict[str, np.ndarray]:
    """Every output, by the formulas of Bernoulli distributions, one submodel after the other in float64."""
    with torch.no_grad():
        if len(networks) == 1:
            logits = submodels(networks[0], x).double()
        else:
            logits = torch.stack([network(x) for network in networks]).double()
    p = torch.stack([(one / temperature).sigmoid() for one in logits])
    mean = p.mean(dim=0)

    def entropy(q: Tensor) -> Tensor:
        return torch.special.entr(q) + torch.special.entr(1 - q)

    expected = entropy(p).mean(dim=0)
    found = {
        "prediction": (mean > 0.5).long(), "probabilities": mean, "submodels": p.transpose(0, 1),
        "entropy": entropy(mean), "expected_entropy": expected, "mutual_information": entropy(mean) - expected,
        "logits": logits.transpose(0, 1),
    }  # fmt: skip
    return {name: values.numpy() for name, values in found.items()}


def assert_agrees(model: onnx.ModelProto, networks: Sequence[nn.Module], temperature: float) -> None:
    names = [output.name for output in model.graph.output]
    for batch in (1, 2, 7):
        x = torch.randn(batch, 6)
        found = runtime.run(model, x.numpy(), names)
        for name, values in by_loop(networks, x, temperature).items():
            assert found[name].shape == values.shape
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=2e-6, err_msg=f"{name}, batch {batch}")


@pytest.mark.parametrize("plan", ["folded", "branches", "grouped"])
def test_masks_in_every_plan(tmp_path: Path, plan: Any) -> None:
    network = masked()
    options = ExportOptions(labels=LABELS, task="multilabel", plan=plan)
    path = export(network, torch.randn(4, 6), options, name="m", repository=tmp_path)
    _, contract, _ = artefact.read(tmp_path, "m")
    assert (contract.head.task, contract.head.labels, contract.num_submodels) == ("multilabel", LABELS, 4)
    for file in path.parent.glob("*.onnx"):
        assert_agrees(onnx.load(file), [network], 1.0)
    assert len(list(path.parent.glob("*.onnx"))) == (1 if plan == "folded" else 2)


def test_a_deep_ensemble_and_a_single_network(tmp_path: Path) -> None:
    for name, networks in (("ensemble", [plain(), plain(), plain()]), ("single", [plain()])):
        given = networks if len(networks) > 1 else networks[0]
        export(
            given, torch.randn(4, 6), ExportOptions(labels=LABELS, task="multilabel"), name=name, repository=tmp_path
        )
        model, contract, _ = artefact.read(tmp_path, name)
        assert contract.num_submodels == len(networks)
        assert_agrees(model, networks, 1.0)


def test_mc_dropout(tmp_path: Path) -> None:
    options = ExportOptions(labels=LABELS, task="multilabel", mc_dropout=4)
    export(plain(0.3), torch.randn(4, 6), options, name="m", repository=tmp_path)  # verified against the loop
    model, contract, _ = artefact.read(tmp_path, "m")
    assert (contract.method, contract.num_submodels) == ("mc-dropout", 4)
    found = runtime.run(model, np.ones((3, 6), np.float32), ["submodels", "probabilities", "mutual_information"])
    np.testing.assert_allclose(found["submodels"].mean(axis=1), found["probabilities"], rtol=1e-6)
    assert (found["mutual_information"] > 0).any()


def test_float16_stays_within_its_tolerance(tmp_path: Path) -> None:
    network = masked()
    options = ExportOptions(labels=LABELS, task="multilabel", precision="float16")
    export(network, torch.randn(64, 6), options, name="m", repository=tmp_path)
    model, contract, _ = artefact.read(tmp_path, "m")
    assert contract.precision == "float16"
    x = torch.randn(50, 6)
    found, wanted = runtime.run(model, x.numpy(), ["entropy"]), by_loop([network], x, 1.0)
    assert 0 < np.abs(found["entropy"] - wanted["entropy"]).max() <= 5e-3


def test_a_calibrated_one_divides_by_its_temperature(tmp_path: Path) -> None:
    network, rng = masked(), np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    with torch.no_grad():
        logits = submodels(network, torch.from_numpy(x)).mean(dim=0).numpy()
    labels = rng.random(logits.shape) < 1 / (1 + np.exp(-4 * logits))  # as if its logits were four times as large
    options = ExportOptions(
        labels=LABELS, task="multilabel", calibration=Split(x, labels), evaluation=Split(x, labels), data="made up"
    )
    export(network, torch.from_numpy(x[:2]), options, name="m", repository=tmp_path)
    model, contract, _ = artefact.read(tmp_path, "m")
    assert 0.15 < contract.head.temperature < 0.4
    assert contract.head.calibration is not None
    assert contract.head.evaluation is not None
    assert contract.head.calibration.nll_after < contract.head.calibration.nll_before
    assert [one.coverage for one in contract.head.calibration.prediction_sets] == [0.9, 0.95, 0.99]
    assert_agrees(model, [network], contract.head.temperature)


def test_one_label_is_enough(tmp_path: Path) -> None:
    network = mlp((6,), 1, submodels=4, align=1, hidden=(8,)).eval()
    options = ExportOptions(labels=["fraud"], task="multilabel")
    export(network, torch.randn(4, 6), options, name="m", repository=tmp_path)
    assert_agrees(artefact.read(tmp_path, "m")[0], [network], 1.0)


def outputs(raw: Tensor, submodels: int) -> dict[str, np.ndarray]:
    """Of a head of five labels, at temperature 1."""
    task = TASKS["multilabel"]
    head = task.head("", 5, (), HeadOptions(labels="abcde"))
    found = task.outputs(head, raw, submodels, torch.ones(()))
    return {tensor.name: values.numpy() for tensor, values in zip(head.outputs, found, strict=True)}


@pytest.mark.parametrize("size", [1.0, 30.0, 1e4])
def test_scores_stay_sound_for_extreme_logits(size: float) -> None:
    logits = torch.randn(3, 50, 5) * size
    logits[:, 0] = 0  # as probable as not
    logits[:, 1] = logits[:1, 1]  # identical submodels
    logits[:, 2] = torch.tensor([-size, size, size])[:, None]  # each sure of its own
    found = outputs(logits.reshape(150, 5), 3)
    expected = multilabel_reference(logits.permute(1, 0, 2).numpy(), 1.0)
    for name, values in found.items():
        assert np.isfinite(values).all()
        if name != "prediction":
            np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=2e-6 * max(1, size / 32), err_msg=name)
    assert (found["prediction"][0] == 0).all()
    for name in ("entropy", "expected_entropy", "mutual_information"):
        assert (found[name] >= 0).all()
        assert (found[name].astype(np.float64) <= log(2)).all()
    assert (found["mutual_information"][1] < 1e-6).all()


def test_with_one_submodel_nothing_disagrees() -> None:
    found = outputs(torch.randn(40, 5) * 5, 1)
    assert (found["mutual_information"] == 0).all()


def test_the_verifier_sees_each_output_that_is_wrong() -> None:
    head = TASKS["multilabel"].head("", 3, (), HeadOptions(labels=LABELS))
    raw = np.random.default_rng(0).normal(size=(9, 4, 3)).astype(np.float32)
    right = MultilabelVerifier().expected(raw, head)
    assert max(MultilabelVerifier().shares(right, raw, head).values()) == 0
    for name in right:
        wrong = {**right, name: 1 - right[name] if name == "prediction" else right[name] + 1e-3}
        shares = MultilabelVerifier().shares(wrong, raw, head)
        assert shares[name] > 1
        assert max(share for other, share in shares.items() if other != name) == 0
