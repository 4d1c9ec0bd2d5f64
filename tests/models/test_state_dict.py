from pathlib import Path

import pytest
import torch
from masksembles.torch import Masksembles1D
from torch import nn

from models.adopt import adopt
from models.layers import Masksembles1d, layers, submodels
from models.networks.mlp import mlp
from models.state_dict import StateDictError, build, load_weights
from tests.models import third_party


def network(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), layer, nn.Linear(16, 3)).eval()


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "model.", "module."])
@pytest.mark.parametrize(
    "build_layer",
    [
        lambda: third_party.Masksembles1D(16, 4, 2.0, seed=9),
        lambda: Masksembles1D(16, 4, 2.0),
        lambda: Masksembles1d(16, 4),
    ],
    ids=["1.1", "1.1.1", "ours"],
)
def test_a_state_dict_of_the_package_1_1_brings_its_masks(build_layer, wrap: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    trained = network(third_party.Masksembles1D(16, 4, 2.0, seed=1))
    state = trained.state_dict()
    assert state["2.masks"].dtype == torch.float64
    if wrap == "state_dict":
        state = {"state_dict": state, "epoch": 3}
    elif wrap != "plain":
        state = {wrap + key: value for key, value in state.items()}
    torch.save(state, tmp_path / "trained.pt")
    loaded = network(build_layer())
    load_weights(loaded, tmp_path / "trained.pt")
    x = torch.rand(5, 6)
    torch.testing.assert_close(submodels(adopt(loaded), x), submodels(adopt(trained), x))


def test_a_state_dict_of_the_package_1_1_1_has_no_masks_and_is_refused(tmp_path: Path) -> None:
    trained = network(Masksembles1D(16, 4, 2.0))
    torch.save(trained.state_dict(), tmp_path / "trained.pt")
    message = r"has no masks for the layer '2': the masksembles package 1\.1\.1 does not save them.* torch\.save\("
    with pytest.raises(StateDictError, match=message):
        load_weights(network(Masksembles1D(16, 4, 2.0)), tmp_path / "trained.pt")
    masks = {f"{name}.masks": module.masks for name, module in trained.named_modules() if hasattr(module, "masks")}
    torch.save(trained.state_dict() | masks, tmp_path / "trained.pt")  # what the message says
    loaded = network(Masksembles1D(16, 4, 2.0))
    load_weights(loaded, tmp_path / "trained.pt")
    assert torch.equal(loaded[2].masks, trained[2].masks)


def test_our_own_layers_bring_masks_and_scale(tmp_path: Path) -> None:
    torch.save(mlp((6,), 3, scale=3.0, seed=1, hidden=(32,)).state_dict(), tmp_path / "mine.pt")
    loaded = mlp((6,), 3, scale=3.0, seed=2, hidden=(32,))
    load_weights(loaded, tmp_path / "mine.pt")
    assert [layer.scale for layer in layers(loaded).values()] == [3.0]
    assert torch.equal(loaded[3].masks, mlp((6,), 3, scale=3.0, seed=1, hidden=(32,))[3].masks)  # type: ignore[arg-type]


def broken(**changes: object) -> dict[str, object]:
    state: dict[str, object] = dict(network(third_party.Masksembles1D(16, 4, 2.0)).state_dict())
    state.update({key.replace("_", "."): value for key, value in changes.items()})
    return {key: value for key, value in state.items() if value is not None}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (broken(**{"0_bias": None}), r"does not fit the network: no 0\.bias"),
        (broken(**{"9_bias": torch.ones(3)}), r"does not fit the network: unknown 9\.bias"),
        (broken(**{"3_weight": torch.ones(3, 7)}), r"size mismatch for 3\.weight"),
        (broken(**{"2_masks": torch.ones(3, 16)}), r"2\.masks must be zeros and ones \[4, 16\]"),
        (broken(**{"2_masks": torch.full((4, 16), 0.5)}), r"2\.masks must be zeros and ones"),
        ([1, 2], "holds no state_dict"),
        (nn.Linear(2, 2), "not a readable checkpoint of plain tensors"),
    ],
)
def test_what_does_not_fit_is_named(state: object, message: str, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "trained.pt")
    with pytest.raises(StateDictError, match=message):
        load_weights(network(third_party.Masksembles1D(16, 4, 2.0)), tmp_path / "trained.pt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateDictError, match=r"gone\.pt: no such checkpoint"):
        load_weights(nn.Linear(2, 2), tmp_path / "gone.pt")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("nowhere:thing", "cannot import 'nowhere:thing'"),
        ("models.networks:thing", "cannot import"),
        ("models.networks", r"expected package\.module:factory"),
        ("tests.models.third_party:draw_nothing", "cannot import"),
        ("builtins:dict", r"must give a torch\.nn\.Module, got dict"),
    ],
)
def test_a_factory_that_is_none_is_named(factory: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(factory)
