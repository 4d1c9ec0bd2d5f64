import pytest
import torch

from models.layers import layers, submodels
from models.networks.resnet import load_torchvision, resnet
from models.networks.wide_resnet import wide_resnet


def torchvision_keys(depth: int) -> set[str]:
    """The names in torchvision's state_dict, spelled out from its block structure."""
    blocks, convolutions = {18: ((2, 2, 2, 2), 2), 50: ((3, 4, 6, 3), 3)}[depth]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    keys = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{part}" for part in norm)}
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            for index in range(1, convolutions + 1):
                keys |= {f"{name}.conv{index}.weight", *(f"{name}.bn{index}.{part}" for part in norm)}
            if block == 0 and (stage > 1 or depth == 50):
                keys |= {f"{name}.downsample.0.weight", *(f"{name}.downsample.1.{part}" for part in norm)}
    return keys


@pytest.mark.parametrize(("depth", "parameters"), [(18, 11_689_512), (50, 25_557_032)])
def test_it_is_torchvisions_network(depth: int, parameters: int) -> None:
    network = resnet((3, 224, 224), 1000, depth=depth)  # type: ignore[arg-type]
    state = {key: value for key, value in network.state_dict().items() if "mask" not in key}
    assert state.keys() == torchvision_keys(depth)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network.conv1.weight.shape == (64, 3, 7, 7)
    if depth == 50:
        assert network.get_submodule("layer3.0.conv2").stride == (2, 2)  # torchvision strides the 3×3 convolution


def test_torchvisions_weights_are_loaded_and_masks_stay() -> None:
    network = resnet((3, 224, 224), 1000, depth=18)
    other = resnet((3, 224, 224), 1000, depth=18, seed=5)
    state = {key: value for key, value in other.state_dict().items() if "mask" not in key}
    before = {name: layer.masks.clone() for name, layer in layers(network).items()}
    load_torchvision(network, state)
    assert torch.equal(network.fc.weight, other.fc.weight)
    assert all(torch.equal(layer.masks, before[name]) for name, layer in layers(network).items())
    del state["layer1.0.conv1.weight"]
    with pytest.raises(ValueError, match=r"not a state_dict of torchvision's network of this depth: layer1\.0\.conv1"):
        load_torchvision(network, state)
    with pytest.raises(ValueError, match="size mismatch for fc"):
        load_torchvision(resnet((3, 224, 224), 10, depth=18), {"fc.weight": torch.ones(1000, 512)})


def test_the_papers_placement() -> None:
    cifar = layers(resnet((3, 32, 32), 10, depth=18))
    assert len(cifar) == 16 + 3 + 1  # before every convolution but the stem's, the shortcuts', and the linear layer
    imagenet = layers(resnet((3, 224, 224), 10, depth=50))
    assert {name.split(".")[0] for name in imagenet} == {"layer3", "layer4", "mask_fc"}
    assert len(imagenet) == 9 * 3 + 2 + 1
    assert len({layer.masks.numpy().tobytes() for layer in imagenet.values() if layer.channels == 1024}) > 4


def test_masks_inside_the_blocks_leave_the_stream_whole() -> None:
    found = layers(resnet((3, 32, 32), 10, depth=18, placement="inside", align=16, scale=2.19))
    assert [int(layer.masks[0].sum()) for layer in found.values()] == [32, 32, 64, 64, 128, 128, 256, 256]
    later = layers(resnet((3, 32, 32), 10, depth=18, placement="inside", first_stage=3))
    assert {name.split(".")[0] for name in later} == {"layer3", "layer4"}


def test_the_kept_channels_of_scale_three() -> None:
    found = layers(resnet((3, 32, 32), 10, depth=18, scale=3.0, align=16))
    assert {(layer.channels, int(layer.masks[0].sum())) for layer in found.values()} == {
        (64, 32), (128, 48), (256, 112), (512, 208),
    }  # fmt: skip


def test_wide_resnet_is_16_4() -> None:
    network = wide_resnet((3, 32, 32), 10).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_748_890
    assert len(layers(network)) == 12 + 3 + 1
    assert submodels(network, torch.rand(2, 3, 16, 16)).shape == (4, 2, 10)
    assert len(layers(wide_resnet((3, 32, 32), 10, placement="inside"))) == 6
    with pytest.raises(ValueError, match="depth must be 10, 16, 22"):
        wide_resnet((3, 32, 32), 10, depth=17)


@pytest.mark.parametrize("depth", [0, 19, 34])
def test_other_depths_are_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=f"depth must be one of 18, 50, got {depth}"):
        resnet((3, 32, 32), 10, depth=depth)  # type: ignore[arg-type]
