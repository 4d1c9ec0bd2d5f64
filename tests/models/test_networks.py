"""Every network by name: its answers, its masks, and what it refuses; resnets have tests of their own beside this."""

from typing import Any

import pytest
import torch

from models.layers import Masksembles1d, Masksembles2d, layers, submodels
from models.networks import BUILDERS
from models.networks.gaussian import Gaussian
from models.networks.masking import Masking

SHAPES: dict[str, tuple[int, ...]] = {
    "char_cnn": (9,), "cnn": (1, 28, 28), "mlp": (5,), "resnet": (3, 32, 32), "unet": (1, 16, 8),
    "wide_resnet": (3, 32, 32),
}  # fmt: skip
GRIDS = {"unet": (16, 8)}
"""Cells that networks answer for, those of the input."""
SMALL: dict[str, dict[str, Any]] = {"wide_resnet": {"depth": 10, "widening": 1}}


@pytest.mark.parametrize("name", BUILDERS)
def test_each_submodel_answers_for_each_row(name: str) -> None:
    torch.manual_seed(0)
    network = BUILDERS[name](SHAPES[name], 7, submodels=3, align=1, **SMALL.get(name, {})).eval()
    rows = torch.rand(2, *SHAPES[name])
    with torch.no_grad():
        found = submodels(network, (rows * 128).long() if name == "char_cnn" else rows)
    assert found.shape == (3, 2, 7, *GRIDS.get(name, ()))
    assert (found[0] != found[1]).any()
    assert layers(network)


@pytest.mark.parametrize("name", BUILDERS)
def test_masks_come_from_the_seed_alone(name: str) -> None:
    def masks(seed: int) -> list[torch.Tensor]:
        network = BUILDERS[name](SHAPES[name], 7, seed=seed, **SMALL.get(name, {}))
        return [layer.masks for layer in layers(network).values()]

    first, again, other = masks(1), masks(1), masks(2)
    assert all(map(torch.equal, first, again))
    assert any(not torch.equal(a, b) for a, b in zip(first, other))


@pytest.mark.parametrize("depth", [4, 11, 15])
def test_a_depth_that_there_is_not_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="depth must be"):
        BUILDERS["wide_resnet"](SHAPES["wide_resnet"], 7, depth=depth)


def test_no_two_masked_layers_share_their_masks() -> None:
    masking = Masking(4, 2.0, seed=0, align=None)
    made = masking(64), masking(64), masking(64, Masksembles1d)
    assert [type(layer) for layer in made] == [Masksembles2d, Masksembles2d, Masksembles1d]
    one, two, flat = (layer.get_buffer("masks").flatten() for layer in made)
    assert not torch.equal(one, two)
    assert not torch.equal(two, flat)


def test_a_gaussian_answers_in_units_of_the_targets() -> None:
    linear = torch.nn.Linear(2, 4)
    network = Gaussian(linear, targets=2, input_shape=(2,))
    inputs, labels = torch.rand(100, 2) * 9, torch.rand(100, 2) * torch.tensor([1.0, 1000.0])
    network.fit(inputs, labels)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    found = network(inputs[:3])
    torch.testing.assert_close(found[:, :2], labels.mean(dim=0).expand(3, 2))
    torch.testing.assert_close(found[:, 2:].exp().sqrt(), labels.std(dim=0).expand(3, 2))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_its_loss_is_the_likelihood_of_standardised_targets(scale: float) -> None:
    torch.manual_seed(0)
    network = Gaussian(torch.nn.Linear(2, 2), targets=1)
    inputs, labels = torch.rand(50, 2), torch.rand(50, 1) * scale
    network.fit(inputs, labels)
    found = network(inputs)
    distribution = torch.distributions.Normal(found[:, :1], (found[:, 1:] / 2).exp())
    constant = 0.5 * torch.log(torch.tensor(2 * torch.pi))
    expected = -(distribution.log_prob(labels) + network.std.log()).mean() - constant
    torch.testing.assert_close(network.loss(found, labels), expected)


def test_constant_inputs_and_targets_divide_by_no_zero() -> None:
    network = Gaussian(torch.nn.Linear(2, 2), targets=1, input_shape=(2,))
    network.fit(torch.ones(9, 2), torch.ones(9, 1))
    found = network(torch.ones(1, 2))
    assert torch.isfinite(found).all()
    assert torch.isfinite(network.loss(found, torch.ones(1, 1)))
