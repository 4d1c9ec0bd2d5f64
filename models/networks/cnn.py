"""A small convolutional network for 28×28 images, masked after every hidden layer but the first."""

from collections.abc import Sequence

from torch import nn

from models import masks
from models.layers import Masksembles1d, Masksembles2d


def cnn(
    input_shape: Sequence[int],
    classes: int,
    *,
    submodels: int = 4,
    scale: float = 2.0,
    seed: int = 0,
    align: int | None = None,
    widths: Sequence[int] = (32, 64, 128, 128),
    widen: bool = False,
    strided: bool = False,
    first_mask: int = 0,
) -> nn.Sequential:
    """[B, channels, H, W] → logits [B, K], H and W at least 8.

    Args:
        seed: of the masks.
        widths: channels of the three convolutions, units of the hidden layer.
        widen: all but the first are the widths that each submodel keeps; the layers themselves are wider.
        strided: halve the image in the first convolution instead of after the second, for a quarter of the work.
        first_mask: index of the first of the three masks to use; the last one stands before the last layer.
    """
    channels, height, width = input_shape
    if min(height, width) < 8:
        raise ValueError(f"cnn needs a height and width of at least 8, got {height}×{width}")
    first, *masked = widths
    second, third, fourth = (masks.widen(size, submodels, scale) for size in masked) if widen else masked

    def mask(index: int, size: int, kind: type[Masksembles1d] | type[Masksembles2d]) -> nn.Module:
        if index < first_mask:
            return nn.Identity()
        return kind(size, submodels, scale, seed=(seed, index), align=align)

    return nn.Sequential(
        *_block(channels, first, stride=2 if strided else 1),
        nn.MaxPool2d(2),
        *_block(first, second),
        nn.Identity() if strided else nn.MaxPool2d(2),
        mask(0, second, Masksembles2d),
        *_block(second, third),
        mask(1, third, Masksembles2d),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(third * (height // 8) * (width // 8), fourth),
        nn.ReLU(),
        mask(2, fourth, Masksembles1d),
        nn.Linear(fourth, classes),
    )


def _block(channels_in: int, channels_out: int, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, ReLU; height and width are kept, or halved."""
    kernel = 3 if stride == 1 else 5
    return [
        nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),  # batch norm has one
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
