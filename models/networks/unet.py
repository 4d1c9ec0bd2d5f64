"""A U-Net (Ronneberger et al., arXiv 1505.04597) with a mask after every convolution but those of the first level.

Each value is masked once, so that the way down and the skip connection read the same channels, and the export computes
no others. It answers for cells: its labels are those of a grid as large as the input.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.networks.masking import Masking


class UNet(nn.Module):
    """[B, channels, H, W] → logits [B, K, H, W]; 2^depth divides H and W."""

    def __init__(self, channels: int, classes: int, widths: Sequence[int], masking: Masking) -> None:
        super().__init__()
        first, *deeper = widths
        # masks begin where the first level ends: it costs most, and all submodels share it
        down = [nn.Sequential(*_convolution(channels, first), *_convolution(first, first), masking(first))]
        for before, width in zip(widths, deeper):
            down.append(_level(before, width, masking))
        self.down = nn.ModuleList(down)
        self.pool = nn.MaxPool2d(2)
        raised, up = [], []
        for below, width in zip(reversed(deeper), reversed(widths[:-1])):
            raised.append(nn.Sequential(nn.ConvTranspose2d(below, width, 2, stride=2), masking(width)))
            up.append(_level(2 * width, width, masking))
        self.raised, self.up = nn.ModuleList(raised), nn.ModuleList(up)
        self.last = nn.Conv2d(first, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level in self.down[:-1]:
            skips.append(level(x))
            x = self.pool(skips[-1])
        x = self.down[-1](x)
        for raised, level, skip in zip(self.raised, self.up, reversed(skips)):
            x = level(torch.cat([skip, raised(x)], dim=1))
        return self.last(x)  # type: ignore[no-any-return]


def unet(
    input_shape: Sequence[int],
    classes: int,
    *,
    submodels: int = 4,
    scale: float = 2.0,
    seed: int = 0,
    align: int | None = None,
    channels: int = 32,
    depth: int = 3,
) -> UNet:
    """[B, *input_shape] → logits [B, K, H, W].

    Args:
        seed: of the masks; weights come from torch's generator.
        align: see `models.masks.generate`.
        channels: of the first level; each level below has twice as many.
        depth: how often height and width are halved.

    Raises:
        ValueError: 2^depth does not divide height and width, or depth is below 1.
    """
    given, height, width = input_shape
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    if height % 2**depth or width % 2**depth:
        raise ValueError(
            f"a unet of depth {depth} needs a height and width that {2**depth} divides, got {height}×{width}"
        )
    widths = [channels * 2**level for level in range(depth + 1)]
    return UNet(given, classes, widths, Masking(submodels, scale, seed, align))


def _level(before: int, width: int, masking: Masking) -> nn.Sequential:
    """Two convolutions, each with its mask; height and width are kept."""
    return nn.Sequential(*_convolution(before, width), masking(width), *_convolution(width, width), masking(width))


def _convolution(before: int, width: int) -> list[nn.Module]:
    return [
        nn.Conv2d(before, width, 3, padding=1, bias=False),  # batch norm has one
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
