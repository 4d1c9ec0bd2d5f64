import pytest
import torch
from torch import nn

from models.layers import Masksembles1d, Masksembles2d, Masksembles3d, assigned, count, digest, layers, submodels, tiled
from models.networks.cnn import cnn
from models.networks.mlp import mlp

SHAPES = [
    (Masksembles1d, (8, 12)),
    (Masksembles1d, (8, 12, 5)),
    (Masksembles2d, (8, 12, 5, 3)),
    (Masksembles3d, (8, 12, 5, 3, 2)),
]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return mlp((1, 4, 4), 3, submodels=4, scale=2.0, hidden=(24, 24)).eval()


@pytest.mark.parametrize(("kind", "shape"), SHAPES)
def test_training_gives_each_row_one_submodel(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    layer = kind(12, 3, 2.0, seed=1)
    x = torch.rand(shape) + 1
    y = layer(x)
    assert y.shape == x.shape
    for row in range(len(x)):
        mask = layer.masks[row % 3]
        assert (y[row, ~mask] == 0).all()
        assert (y[row, mask] == x[row, mask]).all()


def test_training_uses_the_same_submodel_in_every_layer() -> None:
    first, second = Masksembles1d(16, 4, 2.0, seed=1), Masksembles1d(16, 4, 2.0, seed=1)
    x = torch.ones(7, 16)  # a ragged batch
    assert torch.equal(second(first(x)), first(x))


def test_assigned_rows_meet_the_submodels_they_are_given() -> None:
    net = network()
    x = torch.rand(3, 1, 4, 4)
    every = submodels(net, x)
    with assigned(net, torch.tensor([3, 0, 3])):
        torch.testing.assert_close(net(x), torch.stack([every[3, 0], every[0, 1], every[3, 2]]))
        with pytest.raises(ValueError, match="3 rows were assigned to submodels, got 2 rows"):
            net(x[:2])
    for wrong in ([4], [-1], [0.5], [True, False, True], [[0]]):
        with pytest.raises(ValueError, match="from 0 to 3"), assigned(net, torch.tensor(wrong)):
            pass
    with assigned(net, torch.tensor([1, 0, 1], dtype=torch.uint8)):
        torch.testing.assert_close(net(x), torch.stack([every[1, 0], every[0, 1], every[1, 2]]))


def test_single_rows_can_train_every_submodel() -> None:
    layer = Masksembles1d(16, 4, 2.0, seed=0)
    seen = set()
    for _ in range(60):
        with assigned(layer, torch.randint(4, (1,))):
            seen.add(tuple(layer(torch.ones(1, 16))[0].tolist()))
    assert len(seen) == 4


def test_the_scale_is_in_the_state_dict() -> None:
    loaded = Masksembles1d(64, 4, 2.0)
    loaded.load_state_dict(Masksembles1d(64, 4, 4.0).state_dict())
    assert loaded.scale == 4


@pytest.mark.parametrize("rows", [1, 3, 5])
def test_a_ragged_batch_trains(rows: int) -> None:
    net = network().train()
    net(torch.rand(rows, 1, 4, 4)).sum().backward()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtype_follows_the_input(dtype: torch.dtype) -> None:
    layer = Masksembles1d(12, 3, 2.0, seed=1)
    assert layer(torch.ones(3, 12, dtype=dtype)).dtype == dtype
    assert layer.half().masks.dtype == torch.bool


def test_device_follows_the_input() -> None:
    layer = Masksembles1d(12, 3, 2.0, seed=1)
    assert layer(torch.ones(3, 12, device="meta")).device.type == "meta"


def test_masks_are_in_the_state_dict() -> None:
    theirs, ours = Masksembles1d(64, 4, 2.0, seed=1), Masksembles1d(64, 4, 2.0, seed=2)
    assert not torch.equal(theirs.masks, ours.masks)
    ours.load_state_dict(theirs.state_dict())
    assert torch.equal(theirs.masks, ours.masks)


def test_layers_of_equal_width_differ() -> None:
    one, two = layers(network()).values()
    assert not torch.equal(one.masks, two.masks)
    torch.manual_seed(3)
    drawn = [Masksembles1d(64).masks for _ in range(2)]
    torch.manual_seed(3)
    again = [Masksembles1d(64).masks for _ in range(2)]
    assert not torch.equal(*drawn)
    assert all(torch.equal(a, b) for a, b in zip(drawn, again))


def test_submodels_is_a_loop_over_the_masks() -> None:
    net = network()
    x = torch.rand(5, 1, 4, 4)
    with torch.no_grad():
        found = submodels(net, x)
        assert found.shape == (4, 5, 3)
        for index in range(4):
            h = x.flatten(1)
            for module in net[1:]:  # type: ignore[attr-defined]
                h = h * module.masks[index] if isinstance(module, Masksembles1d) else module(h)
            torch.testing.assert_close(found[index], h)
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_tiled_equals_submodels() -> None:
    net = network()
    x = torch.rand(5, 1, 4, 4)
    with torch.no_grad(), tiled(net):
        found = net(x.repeat(4, 1, 1, 1)).reshape(4, 5, 3)
    torch.testing.assert_close(found, submodels(net, x))


def test_a_plain_call_in_evaluation_mode_says_what_to_do() -> None:
    net = network()
    with pytest.raises(RuntimeError, match=r"models\.layers\.submodels\(network, x\)"):
        net(torch.rand(64, 1, 4, 4))  # never quietly 4 × 16
    with tiled(net):
        net(torch.rand(64, 1, 4, 4))
    with pytest.raises(RuntimeError, match="plain call"):
        net(torch.rand(64, 1, 4, 4))


def test_tiled_rows_must_divide() -> None:
    net = network()
    with tiled(net), pytest.raises(ValueError, match="6 rows do not divide by 4"):
        net(torch.rand(6, 1, 4, 4))


def test_submodels_needs_evaluation_mode() -> None:
    with pytest.raises(RuntimeError, match="eval"):
        submodels(network().train(), torch.rand(2, 1, 4, 4))


def test_layers_must_agree() -> None:
    net = nn.Sequential(Masksembles1d(8, 2), Masksembles1d(8, 4)).eval()
    with pytest.raises(ValueError, match="same number of submodels"):
        submodels(net, torch.rand(2, 8))


def test_a_network_without_masks_has_one_submodel() -> None:
    net = nn.Linear(3, 2).eval()
    assert count(net) == 1
    assert submodels(net, torch.rand(5, 3)).shape == (1, 5, 2)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(Masksembles1d, (4, 12, 5, 5)), (Masksembles2d, (4, 5, 12, 5)), (Masksembles2d, (4, 12))],
)
def test_a_wrong_input_is_named(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="12 channels on axis 1, got shape"):
        kind(12)(torch.rand(shape))


def test_digest_tells_masks_apart() -> None:
    def of(seed: int) -> str:
        return digest(cnn((1, 8, 8), 3, seed=seed, widths=(4, 16, 16, 16)))

    assert of(1) == of(1)
    assert of(1) != of(2)
