"""ResNet-18 and ResNet-50 (He et al., arXiv 1512.03385), masked as the Masksembles paper does or inside the blocks.

Modules are named as torchvision names them, so its state_dicts fit; masks are modules of their own between them.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from models.layers import Masksembles1d, layers
from models.networks.masking import Masking, Placement

Stem = Literal["cifar", "imagenet"]

_DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}


class _ResidualBlock(nn.Module):
    """Convolutions with batch norm around a skip connection; `masks[i]` stands before convolution i."""

    def __init__(
        self,
        channels_in: int,
        sizes: Sequence[tuple[int, int]],
        stride: int,
        strided: int,
        masking: Masking | None,
        placement: Placement,
    ) -> None:
        super().__init__()
        width = channels_in
        for index, (channels, kernel) in enumerate(sizes, start=1):
            masked = masking is not None and (placement == "all" or index > 1)
            self.add_module(f"mask{index}", masking(width) if masking and masked else nn.Identity())
            self.add_module(
                f"conv{index}",
                nn.Conv2d(
                    width,
                    channels,
                    kernel,
                    stride=stride if index == strided else 1,
                    padding=kernel // 2,
                    bias=False,
                ),
            )
            self.add_module(f"bn{index}", nn.BatchNorm2d(channels))
            width = channels
        self.convolutions = len(sizes)
        self.relu = nn.ReLU()
        self.mask_downsample: nn.Module = nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or channels_in != width:
            if masking and placement == "all":
                self.mask_downsample = masking(channels_in)
            self.downsample = nn.Sequential(nn.Conv2d(channels_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for index in range(1, self.convolutions + 1):
            y = self.get_submodule(f"mask{index}")(y)
            y = self.get_submodule(f"bn{index}")(self.get_submodule(f"conv{index}")(y))
            if index < self.convolutions:
                y = self.relu(y)
        return self.relu(y + self.downsample(self.mask_downsample(x)))  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """[B, channels, H, W] → logits [B, K]."""

    def __init__(
        self,
        channels: int,
        classes: int,
        depth: int,
        stem: Stem,
        masking: Masking,
        placement: Placement,
        first_stage: int,
    ) -> None:
        super().__init__()
        wide = depth >= 50
        kernel, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.conv1 = nn.Conv2d(channels, 64, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if stem == "cifar" else nn.MaxPool2d(3, 2, padding=1)
        width = 64
        for stage, blocks in enumerate(_DEPTHS[depth], start=1):
            planes = 32 * 2**stage
            sizes = [(planes, 1), (planes, 3), (4 * planes, 1)] if wide else [(planes, 3), (planes, 3)]
            stack = []
            for index in range(blocks):
                stack.append(
                    _ResidualBlock(
                        width,
                        sizes,
                        stride=2 if stage > 1 and index == 0 else 1,
                        strided=2 if wide else 1,  # the 3×3 convolution, as in torchvision; the paper strides the first
                        masking=masking if stage >= first_stage else None,
                        placement=placement,
                    )
                )
                width = sizes[-1][0]
            self.add_module(f"layer{stage}", nn.Sequential(*stack))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.mask_fc = masking(width, Masksembles1d) if placement == "all" else nn.Identity()
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(self.mask_fc(self.flatten(self.avgpool(x))))  # type: ignore[no-any-return]


def resnet(
    input_shape: Sequence[int],
    classes: int,
    *,
    submodels: int = 4,
    scale: float = 2.0,
    seed: int = 0,
    align: int | None = None,
    depth: Literal[18, 50] = 18,
    stem: Stem | None = None,
    placement: Placement = "all",
    first_stage: int | None = None,
) -> ResNet:
    """[B, channels, H, W] → logits [B, K].

    Args:
        seed: of the masks; weights come from torch's generator.
        align: see `models.masks.generate`.
        stem: `cifar` (3×3, nothing pooled) or `imagenet` (7×7, halved twice); by default what suits the input's size.
        placement: masks before `all` convolutions and the linear layer, as in the paper, or only `inside` the blocks,
            between their convolutions, which leaves the residual stream whole.
        first_stage: 1 to 4, where the masks begin: 1 with the CIFAR stem and 3 with the ImageNet stem, as in the paper.

    Raises:
        ValueError: the depth is another.
    """
    if depth not in _DEPTHS:
        raise ValueError(f"depth must be one of {', '.join(map(str, _DEPTHS))}, got {depth}")
    stem = stem or ("cifar" if max(input_shape[1:]) <= 64 else "imagenet")
    return ResNet(
        input_shape[0],
        classes,
        depth,
        stem,
        Masking(submodels, scale, seed, align),
        placement,
        first_stage or (1 if stem == "cifar" else 3),
    )


def load_torchvision(network: ResNet, state: Mapping[str, Tensor]) -> None:
    """Loads the weights of torchvision's network of the same depth; the masks stay.

    Raises:
        ValueError: they do not fit; the message names the first keys that do not.
    """
    try:
        missing, unexpected = network.load_state_dict(state, strict=False)
    except RuntimeError as error:  # a shape differs
        raise ValueError(str(error)) from error
    # torchvision's files have no masks, so only those may be missing
    masks = tuple(f"{name}." for name in layers(network))
    wrong = [*unexpected, *(key for key in missing if not key.startswith(masks))]
    if wrong:
        raise ValueError(f"not a state_dict of torchvision's network of this depth: {', '.join(wrong[:8])}")
