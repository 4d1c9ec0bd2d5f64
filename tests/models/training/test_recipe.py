from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from app.contract.tasks import TaskName
from models.data import LOADERS
from models.layers import count, layers
from models.networks.gaussian import Gaussian
from models.training.recipe import DEFAULTS, Recipe

RECIPE = Recipe(data="digits", network="cnn", input_shape=(1, 8, 8), classes=10, align=None)


def weights(network: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach() for parameter in network.parameters()]


def test_all_methods_begin_with_the_same_weights() -> None:
    masked, *others = (replace(RECIPE, method=method).build() for method in ("masksembles", "single", "mc-dropout"))
    assert count(masked) == 4
    for other in others:
        assert not layers(other)
        assert all(torch.equal(one, two) for one, two in zip(weights(masked), weights(other), strict=True))


def test_dropout_stands_where_masks_would() -> None:
    masked = RECIPE.build()
    dropping = replace(RECIPE, method="mc-dropout", dropout=0.3).build()
    kinds = [type(dropping.get_submodule(name)) for name in layers(masked)]
    assert kinds == [nn.Dropout2d, nn.Dropout2d, nn.Dropout]  # of channels in maps
    assert {dropping.get_submodule(name).p for name in layers(masked)} == {0.3}


@pytest.mark.parametrize("scale", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("network", ["cnn", "mlp"])
def test_fixed_capacity_widens_until_a_submodel_keeps_the_width(network: str, scale: float) -> None:
    recipe = replace(RECIPE, network=network, scale=scale, align=1)
    single = [layer.channels for layer in layers(recipe.build()).values()]
    wide = replace(recipe, options={"widen": True}).build()
    assert [int(layer.masks[0].sum()) for layer in layers(wide).values()] == single
    assert all(layer.channels > kept for layer, kept in zip(layers(wide).values(), single))


def test_a_recipe_survives_being_written() -> None:
    recipe = replace(RECIPE, normalise=((0.5,), (0.25,)), milestones=(1, 2), options={"widths": [8, 8, 8, 8]})
    assert Recipe.read(recipe.plain()) == recipe


def test_a_regressor_has_a_mean_and_a_variance_for_each_target() -> None:
    recipe = Recipe(data="x", network="mlp", input_shape=(3,), classes=2, task="regression", method="single")
    network = recipe.build().eval()
    assert isinstance(network, Gaussian)
    rows, truth = torch.randn(50, 3) * 10 + 5, torch.randn(50, 2) * 100 - 20
    network.fit(rows, truth)
    found = network(rows)
    assert found.shape == (50, 4)
    torch.testing.assert_close(found[:, :2].mean(dim=0), truth.mean(dim=0), atol=60, rtol=0)  # untrained, in its units
    normal = torch.distributions.Normal(found[:, :2], (found[:, 2:] / 2).exp())
    shift = 0.5 * torch.log(torch.tensor(2 * torch.pi)) + network.std.log().mean()
    torch.testing.assert_close(network.loss(found, truth) + shift, -normal.log_prob(truth).mean())


def test_images_and_words_are_not_mixed_up() -> None:
    with pytest.raises(ValueError, match=r"cnn takes images \[channels, height, width\], not \[32\]"):
        replace(RECIPE, input_shape=(32,)).build()
    with pytest.raises(ValueError, match=r"char_cnn takes ids \[T\], not \[1, 8, 8\]"):
        replace(RECIPE, network="char_cnn").build()


def test_there_are_defaults_for_every_data_set() -> None:
    assert set(DEFAULTS) == set(LOADERS)
    for name, shape in {
        "cifar-10": (3, 32, 32),
        "imagenet": (3, 224, 224),
        "diabetes": (10,),
        "scenes": (1, 64, 64),
        "languages": (32,),
    }.items():
        task: TaskName = "regression" if name == "diabetes" else "classification"
        Recipe(data=name, input_shape=shape, classes=10, task=task, **DEFAULTS[name]).build()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"joint": 1.5, "repeat": True}, "joint: expected a share from 0 to 1, got 1.5"),
        ({"joint": 0.5}, "joint: expected a classification and submodels whose rows are repeated"),
        ({"joint": 0.5, "repeat": True, "method": "single"}, "joint: expected a classification and submodels"),
        ({"joint": 0.5, "repeat": True, "network": "mlp", "task": "regression"}, "joint: expected a classification"),
    ],
)
def test_a_joint_loss_needs_submodels_that_share_a_row(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(RECIPE, **changes).build()
