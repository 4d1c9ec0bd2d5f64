import pytest
import torch

from models.layers import layers, submodels
from models.networks.unet import unet


def test_each_submodel_answers_for_each_cell() -> None:
    network = unet((3, 16, 8), 5, submodels=3, channels=8, depth=2).eval()
    with torch.no_grad():
        for height, width in ((16, 8), (8, 20)):
            found = submodels(network, torch.rand(2, 3, height, width))
            assert found.shape == (3, 2, 5, height, width)
            assert (found[0] != found[1]).any()


def test_every_value_behind_the_first_level_is_masked_once() -> None:
    found = layers(unet((3, 64, 64), 11))
    widths = [int(layer.channels) for layer in found.values()]
    assert widths == [32, *[64] * 2, *[128] * 2, *[256] * 2, 128, 64, 32, *[128] * 2, *[64] * 2, *[32] * 2]
    kept = {int(layer.channels): int(layer.masks[0].sum()) for layer in found.values()}
    assert kept == {32: 16, 64: 32, 128: 64, 256: 144}


def test_masks_come_from_the_seed_alone() -> None:
    first, again, other = ([layer.masks for layer in layers(unet((1, 8, 8), 2, seed=s)).values()] for s in (1, 1, 2))
    assert all(map(torch.equal, first, again))
    assert any(not torch.equal(a, b) for a, b in zip(first, other))


def test_a_picture_that_cannot_be_halved_so_often_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a height and width that 8 divides, got 64×60"):
        unet((3, 64, 60), 2)
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        unet((3, 64, 64), 2, depth=0)
