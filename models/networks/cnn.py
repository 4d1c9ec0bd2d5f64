"""A small convolutional network for 28×28 pictures, masked after every hidden layer but the first."""

from collections.abc import Sequence

from torch import nn

from models.layers import Masksembles1d, Masksembles2d


def cnn(
    input_shape: Sequence[int],
    classes: int,
    *,
    submodels: int = 4,
    scale: float = 2.0,
    seed: int = 0,
    align: int | None = None,
    widths: tuple[int, int, int, int] = (32, 64, 128, 128),
) -> nn.Sequential:
    """[B, channels, H, W] → logits [B, K], H and W at least 8. `seed` is that of the masks."""
    channels, height, width = input_shape
    if min(height, width) < 8:
        raise ValueError(f"cnn needs a height and width of at least 8, got {height}×{width}")
    first, second, third, fourth = widths

    def mask(index: int, size: int, kind: type[Masksembles1d] | type[Masksembles2d]) -> nn.Module:
        return kind(size, submodels, scale, seed=(seed, index), align=align)

    return nn.Sequential(
        *_block(channels, first),
        nn.MaxPool2d(2),
        *_block(first, second),
        nn.MaxPool2d(2),
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


def _block(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Convolution, batch norm, ReLU; height and width stay."""
    return [
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
