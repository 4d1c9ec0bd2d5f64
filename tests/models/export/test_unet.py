"""U-Nets: skip connections that are masked, shared or both, and every way to raise a map."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.export import ExportOptions, export
from models.layers import Masksembles2d
from models.networks.unet import unet
from tests.models import third_party
from tests.models.export.plans_agree import plans, share, weights

Raises = Callable[[Tensor, Tensor], Tensor]
RAISES: dict[str, Raises] = {
    "nearest": lambda x, like: F.interpolate(x, scale_factor=2),
    "bilinear": lambda x, like: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    "bilinear to corners": lambda x, like: F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True),
    "bilinear to a size": lambda x, like: F.interpolate(x, size=like.shape[2:], mode="bilinear"),
    "bicubic": lambda x, like: F.interpolate(x, scale_factor=2, mode="bicubic"),
}


NORMS: tuple[Callable[[int], nn.Module], ...] = (
    lambda width: nn.GroupNorm(4, width),
    lambda width: nn.InstanceNorm2d(width, affine=True),
)


class Small(nn.Module):
    """[B, 2, H, W] → [B, 3, H, W]: two levels, the skip connection before, behind or between masks."""

    def __init__(
        self,
        raises: Raises | None = None,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        *,
        down: bool = True,
        up: bool = True,
        mask: Callable[[int, int], nn.Module] = lambda channels, seed: Masksembles2d(
            channels, 3, 2.0, seed=seed, align=1
        ),
    ) -> None:
        super().__init__()
        self.raises = raises

        def block(before: int, width: int, masked: nn.Module) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(before, width, 3, padding=1), norm(width), nn.ReLU(), masked,
                nn.Conv2d(width, width, 3, padding=1), norm(width), nn.ReLU(),
            )  # fmt: skip

        self.first = block(2, 12, mask(12, 0) if down else nn.Identity())
        self.below = block(12, 16, mask(16, 1))
        self.raised = nn.ConvTranspose2d(16, 12, 2, stride=2) if raises is None else nn.Conv2d(16, 12, 1)
        self.second = block(24, 12, mask(12, 2) if up else nn.Identity())
        self.last = nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.first(x)
        below = self.below(F.max_pool2d(skip, 2))
        raised = self.raised(below) if self.raises is None else self.raises(self.raised(below), skip)
        return self.last(self.second(torch.cat([skip, raised], dim=1)))


class Pooled(nn.Module):
    """The mean of a map, as a classifier."""

    def __init__(self, dense: nn.Module, width: int) -> None:
        super().__init__()
        self.dense, self.last = dense, nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.dense(x).mean((2, 3)))


@pytest.mark.parametrize("raises", RAISES)
def test_maps_are_raised_without_the_channels_that_a_mask_drops(raises: str) -> None:
    rows = torch.rand(7, 2, 4, 6)
    found = plans(Small(RAISES[raises]), rows)
    assert set(found) == {"folded", "branches", "grouped"}
    assert share(found, "branches", rows) < 0.9


@pytest.mark.parametrize(("height", "width"), [(4, 6), (8, 4)])
def test_transposed_convolutions_are_compacted_on_both_sides(height: int, width: int) -> None:
    rows = torch.rand(7, 3, height, width)
    found = plans(unet((3, height, width), 5, submodels=3, channels=32, depth=1, align=16), rows)
    # of [64, 32, 2, 2], a transposed convolution's weight has the inputs first
    for name, shapes in (("branches", [(32, 16, 2, 2)] * 3), ("grouped", [(96, 16, 2, 2)])):
        assert weights(found[name], "conv_transpose2d") == shapes
    assert share(found, "branches", rows) < 0.5


@pytest.mark.parametrize(("down", "up"), [(False, True), (True, False), (False, False)])
def test_skip_connections_from_before_and_behind_the_first_mask(down: bool, up: bool) -> None:
    assert "grouped" in plans(Small(down=down, up=up), torch.rand(7, 2, 4, 4))


@pytest.mark.parametrize("norm", NORMS, ids=["group", "instance"])
def test_norms_of_groups_and_instances(norm: Callable[[int], nn.Module]) -> None:
    rows = torch.rand(7, 2, 4, 4)
    found = plans(Small(norm=norm), rows)
    assert set(found) == {"folded", "branches", "grouped"}
    assert share(found, "branches", rows) < 0.95


def test_layers_of_other_packages_inside() -> None:
    found = plans(Small(mask=lambda channels, seed: third_party.Mask2d(channels, 3, seed)), torch.rand(7, 2, 4, 4))
    assert "grouped" in found
    package = pytest.importorskip("masksembles.torch")
    found = plans(Small(mask=lambda channels, seed: package.Masksembles2D(channels, 3, 1.7)), torch.rand(7, 2, 4, 4))
    assert "grouped" in found


def test_dense_answers_in_onnxruntime() -> None:
    network = Small(RAISES["bilinear"], lambda width: nn.GroupNorm(4, width))
    plans(network, torch.rand(7, 2, 4, 6), onnx_of=["branches"])


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(4, 6), (8, 8)])
def test_every_plan_of_a_unet_in_onnxruntime(height: int, width: int) -> None:
    network = unet((2, height, width), 3, submodels=3, channels=4, depth=1, align=1)
    plans(network, torch.rand(7, 2, height, width), onnx_of=["folded", "branches", "grouped"])


@pytest.mark.slow
@pytest.mark.parametrize("raises", RAISES)
def test_every_way_to_raise_a_map_in_onnxruntime(raises: str) -> None:
    plans(Small(RAISES[raises]), torch.rand(7, 2, 4, 6), onnx_of=["grouped"])


@pytest.mark.slow
def test_norms_of_groups_and_instances_in_onnxruntime() -> None:
    for norm in NORMS:
        plans(Small(norm=norm), torch.rand(7, 2, 4, 4), onnx_of=["grouped"])


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["branches", "grouped"])
def test_a_unet_with_a_pooled_answer_is_exported_and_verified(plan: str, tmp_path: Path) -> None:
    network = Pooled(unet((3, 16, 16), 5, channels=8, depth=2), 5)
    options = ExportOptions(labels="abcd", plan=plan)  # type: ignore[arg-type]
    export(network, torch.rand(2, 3, 16, 16), options, name="unet", repository=tmp_path)
    assert (tmp_path / "unet" / "1" / "model.cpu.onnx").exists()
