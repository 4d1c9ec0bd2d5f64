"""Layers as other packages have them, built anew where the package cannot be installed beside this torch."""

import numpy as np
import torch
from torch import Tensor, nn


def draw(submodels: int, channels: int, seed: int) -> Tensor:
    """Masks in float64 as those packages hold them, half of the channels kept."""
    rng = np.random.default_rng(seed)
    return torch.tensor(
        np.stack([rng.permutation(np.arange(channels) % 2) for _ in range(submodels)]), dtype=torch.float64
    )


class Masksembles1D(nn.Module):
    """The masksembles package 1.1: masks are a parameter in float64 and are saved."""

    def __init__(self, channels: int, n: int, scale: float, seed: int = 0) -> None:
        super().__init__()
        self.channels, self.n, self.scale = channels, n, scale
        self.masks = nn.Parameter(draw(n, channels, seed), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        groups = inputs.reshape(self.n, -1, self.channels)
        return (groups * self.masks.unsqueeze(1)).reshape(inputs.shape)


class Mask1d(nn.Module):
    """torch-uncertainty's: the masks are a parameter, the scale is not kept."""

    def __init__(self, channels: int, num_masks: int, seed: int) -> None:
        super().__init__()
        self.num_masks = num_masks
        self.masks = nn.Parameter(draw(num_masks, channels, seed), requires_grad=False)

    def forward(self, inputs: Tensor) -> Tensor:
        blocks = torch.stack(torch.split(inputs, len(inputs) // self.num_masks))
        factors = self.masks.reshape(self.num_masks, 1, -1, *[1] * (inputs.ndim - 2))
        return (blocks * factors).flatten(0, 1).to(inputs.dtype)


class Mask2d(Mask1d):
    """The same for maps."""


class MaskedConv2d(nn.Module):
    def __init__(
        self, channels_in: int, channels: int, kernel: int, n: int, stride: int, groups: int, seed: int
    ) -> None:
        super().__init__()
        self.mask = Mask2d(channels_in, n, seed)
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2, groups=groups)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.conv(self.mask(inputs))


class MaskedLinear(nn.Module):
    def __init__(self, features: int, outputs: int, n: int, seed: int) -> None:
        super().__init__()
        self.mask = Mask1d(features, n, seed)
        self.linear = nn.Linear(features, outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(self.mask(inputs))


class _BasicBlock(nn.Module):
    def __init__(self, channels_in: int, channels: int, stride: int, n: int, groups: int, seed: int) -> None:
        super().__init__()
        self.conv1 = MaskedConv2d(channels_in, channels, 3, n, stride, groups, seed)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = MaskedConv2d(channels, channels, 3, n, 1, groups, seed + 1)
        self.dropout = nn.Dropout2d(0.1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels_in != channels:
            conv = MaskedConv2d(channels_in, channels, 1, n, stride, groups, seed + 2)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = nn.functional.relu(self.dropout(self.bn1(self.conv1(x))))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return nn.functional.relu(out)


class MaskedResNet(nn.Module):
    """Shaped as torch-uncertainty's masked_resnet18 for CIFAR, narrower: it repeats its input for its estimators."""

    def __init__(self, classes: int = 5, n: int = 4, width: int = 16, groups: int = 1) -> None:
        super().__init__()
        self.num_estimators = n
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.optional_pool = nn.Identity()
        channels, seed = width, 0
        for stage in range(4):
            blocks = []
            for index in range(2):
                stride = 2 if stage and not index else 1
                blocks.append(_BasicBlock(channels, width * 2**stage, stride, n, groups, seed))
                channels, seed = width * 2**stage, seed + 3
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.pool, self.flatten, self.final_dropout = nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Dropout(0.1)
        self.linear = MaskedLinear(channels, classes, n, seed)

    def forward(self, x: Tensor) -> Tensor:
        x = x.repeat(self.num_estimators, *[1] * (x.ndim - 1))
        out = self.optional_pool(nn.functional.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            out = self.get_submodule(f"layer{stage}")(out)
        return self.linear(self.final_dropout(self.flatten(self.pool(out))))


def randomise_statistics(network: nn.Module) -> nn.Module:
    """Gives batch norm statistics that matter."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def settle(network: MaskedResNet, inputs: Tensor) -> MaskedResNet:
    """Gives a network the statistics of these inputs, and no class that all of them favour, as training would."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1
    with torch.no_grad():
        network.train()(inputs)
        network.eval()
        network.linear.linear.bias.sub_(network(inputs).mean(dim=0))
    return network
