import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from masksembles.torch import Masksembles1D, Masksembles2D
from torch import Tensor, nn

from models import artefact
from models.adopt import adopt
from models.export import ExportOptions, export
from models.export.trace import trace
from models.layers import FrozenDropout, Masksembles1d, Masksembles2d, layers, submodels
from tests.models import third_party
from tests.serving import as_process


def from_the_package() -> nn.Module:
    np.random.seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), Masksembles2D(16, 4, 2.0),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), Masksembles2D(32, 4, 2.0), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(32 * 16, 24), nn.ReLU(), Masksembles1D(24, 4, 2.0), nn.Linear(24, 3),
    )  # fmt: skip


def test_layers_of_the_masksembles_package() -> None:
    network = third_party.randomise_statistics(from_the_package())
    x = torch.rand(5, 1, 8, 8)
    expected = network(x.repeat(4, 1, 1, 1)).reshape(4, 5, 3)
    adopted = adopt(network)
    assert [type(layer) for layer in layers(adopted).values()] == [Masksembles2d, Masksembles2d, Masksembles1d]
    assert all(layer.scale == 2.0 for layer in layers(adopted).values())
    torch.testing.assert_close(submodels(adopted, x), expected)
    assert isinstance(network[3], Masksembles2D)  # the network itself is not touched


@pytest.mark.parametrize("groups", [1, 2])
def test_torch_uncertaintys_network_is_told_not_to_repeat_its_input(groups: int) -> None:
    network = third_party.randomise_statistics(third_party.MaskedResNet(groups=groups))
    x = torch.rand(3, 3, 16, 16)
    expected = network(x).reshape(4, 3, 5)
    adopted = adopt(network)
    torch.testing.assert_close(submodels(adopted, x), expected)
    assert (adopted.num_estimators, network.num_estimators) == (1, 4)
    assert layers(adopted)["linear.mask"].scale == pytest.approx(2.19, abs=0.01)  # half kept: from the masks


@pytest.mark.slow
@pytest.mark.parametrize("build", [from_the_package, third_party.MaskedResNet])
def test_networks_from_elsewhere_answer_through_the_service(build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    network = third_party.randomise_statistics(build())
    channels, size, classes = (1, 8, 3) if build is from_the_package else (3, 16, 5)
    x = torch.rand(2, channels, size, size)
    export(network, x, ExportOptions(labels="abcde"[:classes], plan="branches"), name="theirs", repository=tmp_path)
    assert sorted(path.name for path in (tmp_path / "theirs" / "1").iterdir()) == ["model.cpu.onnx", "model.onnx"]
    copies = x if build is third_party.MaskedResNet else x.repeat(4, 1, 1, 1)  # the other one repeats by itself
    expected = network(copies).reshape(4, 2, classes).softmax(-1).permute(1, 0, 2)
    with as_process(tmp_path, MASKSEMBLES_DEVICE="cpu") as (client, _):
        answer = client.post("/predict", json={"inputs": x.tolist()}).json()
        plan = client.get("/models/theirs/versions/1").json()["contract"]["plan"]
    found = [[part["probabilities"] for part in row["submodels"]] for row in answer["predictions"]]
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert plan == "branches"


def test_masks_that_are_not_known_are_refused_by_name() -> None:
    class Stranger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.masks = torch.ones(4, 6)

    with pytest.raises(ValueError, match=r"1: Stranger holds masks in a way that is not known here; known are"):
        adopt(nn.Sequential(nn.Linear(6, 6), Stranger()))


def test_masks_that_are_no_masks_are_refused() -> None:
    layer = third_party.Masksembles1D(16, 4, 2.0)
    layer.masks.data *= 0.5
    with pytest.raises(ValueError, match=r"1\.masks: expected zeros and ones \[N, C\]"):
        adopt(nn.Sequential(nn.Linear(6, 16), layer))


def test_estimators_that_are_not_the_masks_are_refused() -> None:
    network = third_party.MaskedResNet()
    network.num_estimators = 3
    with pytest.raises(ValueError, match="num_estimators is 3, but its masks make 4 submodels"):
        adopt(network)


class WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.drop2d = nn.Conv2d(1, 16, 3, padding=1), nn.Dropout2d(0.3)
        self.second, self.drop_map = nn.Conv2d(16, 16, 3, padding=1), nn.Dropout(0.2)
        self.hidden, self.drop = nn.Linear(16 * 36, 32), nn.Dropout(0.5)
        self.unused, self.never = nn.Dropout(0.5), nn.Dropout(0.0)
        self.last = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop_map(self.second(self.drop2d(self.conv(x).relu())).relu())
        return self.last(self.never(self.drop(self.hidden(x.flatten(1)).relu())))


def test_dropout_becomes_frozen_masks(caplog: pytest.LogCaptureFixture) -> None:
    network, x = WithDropout().eval(), torch.rand(2, 1, 6, 6)
    with caplog.at_level(logging.INFO, logger="models"):
        adopted = adopt(network, x, mc_dropout=5, seed=1)
    found = layers(adopted)
    assert {name: list(layer.masks.shape) for name, layer in found.items()} == {
        "drop2d": [5, 16],
        "drop_map": [5, 16, 6, 6],
        "drop": [5, 32],
    }
    assert "drop_map drops single values of a map [16, 6, 6]; such masks can only be folded" in caplog.text
    y = network.conv(x).relu() * found["drop2d"].masks[1].reshape(16, 1, 1) / 0.7
    y = network.second(y).relu() * found["drop_map"].masks[1] / 0.8
    y = network.hidden(y.flatten(1)).relu() * found["drop"].masks[1] / 0.5
    torch.testing.assert_close(submodels(adopted, x)[1], network.last(y))
    again = layers(adopt(network, x, mc_dropout=5, seed=1))
    assert all(torch.equal(layer.masks, again[name].masks) for name, layer in found.items())


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["folded", "branches"])
def test_mc_dropout_is_exported_and_verified(tmp_path: Path, plan) -> None:  # type: ignore[no-untyped-def]
    path = export(
        WithDropout(),
        torch.rand(2, 1, 6, 6),
        ExportOptions(labels="abc", mc_dropout=6, plan=plan),
        name="mc",
        repository=tmp_path,
    )
    contract = artefact.read(tmp_path, "mc")[1]
    assert (contract.method, contract.num_submodels) == ("mc-dropout", 6)
    assert contract.masks is not None
    assert [round(layer.scale, 3) for layer in contract.masks.layers] == [1.429, 1.25, 2.0]
    assert (path.parent / "model.cpu.onnx").exists() == (plan == "branches")


def test_no_dropout_to_freeze_is_said() -> None:
    with pytest.raises(ValueError, match=r"mc_dropout: the network has no dropout with p > 0"):
        adopt(nn.Linear(6, 3), torch.rand(2, 6), mc_dropout=4)


def test_dropout_keeps_its_masks_for_tiled_rows() -> None:
    layer = FrozenDropout(torch.tensor([[True, False], [True, True]]), 0.5)
    layer.selected = "tiled"
    assert layer(torch.ones(4, 2)).tolist() == [[2, 0], [2, 0], [2, 2], [2, 2]]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(nn.Linear(6, 8), nn.AlphaDropout(0.1), nn.Dropout(0.1)), r"dropout of 1 \(AlphaDropout\)"),
        (nn.Sequential(nn.Linear(6, 8), nn.Dropout1d(0.1)), r"1: Dropout1d takes \[B, C\] for one sample"),
        (nn.Sequential(nn.Dropout(0.1), Masksembles1d(6, 4)), "has Masksembles layers already"),
    ],
)
def test_dropout_that_would_be_left_out_is_refused(network: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        adopt(network, torch.rand(2, 6), mc_dropout=4)


def test_masks_that_drop_everything_are_still_described(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(6, 4), nn.Dropout(0.9), nn.Linear(4, 3))
    export(network, torch.rand(2, 6), ExportOptions(labels="abc", mc_dropout=4), name="mc", repository=tmp_path)
    described = artefact.read(tmp_path, "mc")[1].masks
    assert described is not None
    assert described.layers[0].kept <= 1


def test_a_network_that_repeats_its_input_unasked_is_refused() -> None:
    class Repeats(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 16), Masksembles1d(16, 4), nn.Linear(16, 3))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x.repeat(4, 1))

    with pytest.raises(ValueError, match="must not repeat its input for its submodels itself"):
        trace(adopt(Repeats()), torch.rand(2, 6))


def test_a_layer_derived_from_a_known_one_is_known() -> None:
    class Mine(Masksembles1D):  # type: ignore[misc]  # the package has no types
        pass

    adopted = adopt(nn.Sequential(nn.Linear(6, 16), Mine(16, 4, 2.0)))
    assert isinstance(adopted[1], Masksembles1d)
