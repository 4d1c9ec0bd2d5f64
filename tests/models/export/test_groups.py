"""Convolutions in groups, blocks of MobileNet and EfficientNet, and maps whose channels become places."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.export import ExportOptions, export
from models.layers import Masksembles2d
from tests.models import third_party
from tests.models.export.plans_agree import plans, share, weights

Mask = Callable[[int, int], nn.Module]
ROWS = torch.rand(7, 8, 4, 4)


def ours(channels: int, seed: int) -> nn.Module:
    return Masksembles2d(channels, 3, 2.0, seed=seed, align=1)


class Excite(nn.Module):
    """Squeeze and excitation: a gate for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, 4, 1), nn.Conv2d(4, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.up(nn.functional.silu(self.down(nn.functional.adaptive_avg_pool2d(x, 1))))
        return x * gate.sigmoid()


class Inverted(nn.Module):
    """An inverted bottleneck with masks before and behind the depthwise convolution."""

    def __init__(self, mask: Mask = ours, *, groups: int = 16, times: int = 1, excite: bool = True) -> None:
        super().__init__()
        self.body = nn.Sequential(
            mask(8, 0), nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU(), mask(16, 1),
            nn.Conv2d(16, 16 * times, 3, padding=1, groups=groups, bias=False), nn.BatchNorm2d(16 * times), nn.SiLU(),
            Excite(16 * times) if excite else nn.Identity(), mask(16 * times, 2), nn.Conv2d(16 * times, 8, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def classifier(*layers: nn.Module, width: int = 8) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))


@pytest.mark.parametrize("excite", [True, False])
@pytest.mark.parametrize(("groups", "times"), [(16, 1), (16, 2), (8, 1), (4, 2)])
def test_inverted_bottlenecks(groups: int, times: int, excite: bool) -> None:
    found = plans(classifier(Inverted(groups=groups, times=times, excite=excite), Inverted()), ROWS)
    assert set(found) == {"folded", "branches", "grouped"}
    assert share(found, "branches", ROWS) < 0.95


def test_layers_of_other_packages_inside() -> None:
    assert "grouped" in plans(classifier(Inverted(lambda width, seed: third_party.Mask2d(width, 3, seed))), ROWS)


def test_a_group_is_kept_whole_or_dropped() -> None:
    drawn = torch.zeros(2, 8, dtype=torch.bool)
    drawn[0, [0, 5]] = drawn[1, [6, 7]] = True  # of four groups of two: the first and third, and the last
    mask = Masksembles2d.from_masks(drawn, 2.0)
    before = Masksembles2d(8, 2, 1.0, seed=0)
    before.masks[1, 0] = False  # so that the masked part begins before
    network = classifier(before, nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, groups=4), nn.ReLU(), mask)
    found = plans(network, ROWS)
    assert weights(found["branches"], "conv2d") == [(4, 8, 1, 1), (4, 2, 3, 3), (2, 7, 1, 1), (2, 2, 3, 3)]
    assert weights(found["grouped"], "conv2d")[1] == (8, 2, 3, 3)  # the second submodel's group stands twice


@pytest.mark.parametrize(
    ("layers", "width"),
    [
        ([nn.ConvTranspose2d(8, 8, 2, stride=2, groups=8)], 8),
        ([nn.ConvTranspose2d(8, 8, 3, groups=4, bias=False)], 8),
        ([nn.ConvTranspose2d(8, 16, 3, groups=2, output_padding=1, stride=2)], 16),
        ([nn.Conv2d(8, 16, 1), nn.PixelShuffle(2)], 4),
        ([nn.PixelUnshuffle(2), nn.Conv2d(32, 6, 1)], 6),
        ([nn.GroupNorm(4, 8)], 8),
        ([nn.GroupNorm(2, 8, affine=False)], 8),
        ([nn.InstanceNorm2d(8, track_running_stats=True)], 8),
    ],
    ids=lambda value: type(value[-1]).__name__ if isinstance(value, list) else "",
)
def test_between_two_masks(layers: list[nn.Module], width: int) -> None:
    network = classifier(
        ours(8, 0), nn.Conv2d(8, 8, 1), *layers, nn.SiLU(), ours(width, 1), nn.Conv2d(width, 6, 1), width=6
    )
    found = plans(network, ROWS)
    assert set(found) == {"folded", "branches", "grouped"}
    assert share(found, "branches", ROWS) < 1
    # directly behind a mask, where dropped channels are zero, and not missing
    assert "grouped" in plans(classifier(ours(8, 0), *layers, nn.ReLU(), nn.Conv2d(width, 6, 1), width=6), ROWS)


def test_a_gate_that_is_computed_from_half_of_the_channels() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask, self.conv = ours(8, 0), nn.Conv2d(4, 6, 1)

        def forward(self, x: Tensor) -> Tensor:
            value, gate = self.mask(x).chunk(2, dim=1)
            return self.conv(value * gate.sigmoid())

    plans(classifier(Halves(), width=6), ROWS)


@pytest.mark.slow
def test_every_plan_in_onnxruntime() -> None:
    network = classifier(
        Inverted(groups=8), nn.ConvTranspose2d(8, 8, 2, stride=2, groups=4), ours(8, 7), nn.Conv2d(8, 16, 1),
        nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.GroupNorm(4, 16), ours(16, 8), nn.Conv2d(16, 8, 1),
    )  # fmt: skip
    plans(network, ROWS, onnx_of=["folded", "branches", "grouped"])


@pytest.mark.slow
@pytest.mark.parametrize("plan", ["branches", "grouped"])
def test_they_are_exported_and_verified(plan: str, tmp_path: Path) -> None:
    options = ExportOptions(labels="abcd", plan=plan)  # type: ignore[arg-type]
    export(classifier(Inverted(), Inverted(groups=4)), ROWS, options, name="m", repository=tmp_path)
    assert (tmp_path / "m" / "1" / "model.cpu.onnx").exists()
