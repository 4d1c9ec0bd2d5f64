"""Wide ResNet (Zagoruyko & Komodakis, arXiv 1605.07146), the network of the Masksembles paper for CIFAR-10."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers import Masksembles1d
from models.networks.masking import Masking, Placement


class _PreActivationBlock(nn.Module):
    """Batch norm and ReLU before each of two 3×3 convolutions, around a skip connection."""

    def __init__(self, channels_in: int, channels: int, stride: int, masking: Masking, placement: Placement) -> None:
        super().__init__()
        everywhere = placement == "all"
        self.bn1 = nn.BatchNorm2d(channels_in)
        self.mask1 = masking(channels_in) if everywhere else nn.Identity()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.mask2 = masking(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.mask_shortcut = masking(channels_in) if everywhere else nn.Identity()
            self.shortcut = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.relu(self.bn1(x))
        y = self.conv1(self.mask1(active))
        y = self.conv2(self.mask2(self.relu(self.bn2(y))))
        return y + (x if self.shortcut is None else self.shortcut(self.mask_shortcut(active)))  # type: ignore[no-any-return]


def wide_resnet(
    input_shape: Sequence[int],
    classes: int,
    *,
    submodels: int = 4,
    scale: float = 2.0,
    seed: int = 0,
    align: int | None = None,
    depth: int = 16,
    widening: int = 4,
    placement: Placement = "all",
) -> nn.Sequential:
    """[B, channels, H, W] → logits [B, K]; 16-4 by default.

    Args:
        seed: of the masks; weights come from torch's generator.
        align: see `models.masks.ones_per_mask`.
        depth: 6n + 4 for n blocks a stage.
        placement: masks before `all` convolutions but the first and before the linear layer, as in the paper, or only
            `inside` the blocks.

    Raises:
        ValueError: the depth is not 6n + 4.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth must be 10, 16, 22, …, got {depth}")
    masking = Masking(submodels, scale, seed, align)
    stack: list[nn.Module] = [nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False)]
    width = 16
    for stage in range(3):
        channels = 16 * 2**stage * widening
        for index in range((depth - 4) // 6):
            stride = 2 if stage > 0 and index == 0 else 1
            stack.append(_PreActivationBlock(width, channels, stride, masking, placement))
            width = channels
    stack += [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if placement == "all":
        stack.append(masking(width, Masksembles1d))
    return nn.Sequential(*stack, nn.Linear(width, classes))
