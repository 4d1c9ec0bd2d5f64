"""The heads of traced networks."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.contract.axis import FreeAxis
from app.contract.tensor import Axis
from models.export import ExportOptions, HeadOptions
from models.export.axes import dims
from models.export.grid import describe_heads
from models.export.trace import trace

BY_8 = FreeAxis(least=8, most=512, multiple_of=8)
ANY = FreeAxis(least=8, most=512)


def grid(network: nn.Module, axis: FreeAxis, shape: tuple[int | str, ...] = (3, "H", "W")) -> tuple[Axis, ...]:
    """That of a network's only head, a classifier of 4 classes."""
    axes = {letter: axis for letter in shape if isinstance(letter, str)}
    options = ExportOptions(labels="abcd", input_shape=shape, axes=axes)
    example = torch.rand(2, *(32 if isinstance(size, str) else size for size in shape))
    traced = trace(network.eval(), example, dims([shape], axes))
    (head,) = describe_heads([traced], [shape], options)
    return head.grid


@pytest.mark.parametrize(
    ("network", "axis", "expected"),
    [
        (nn.Conv2d(3, 4, 3, padding=1), ANY, ("H", "W")),
        (nn.Conv2d(3, 4, 2, 2), BY_8, ("H/2", "W/2")),
        (nn.Conv2d(3, 4, 3, 2, 1), BY_8, ("H/2", "W/2")),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(4)), BY_8, ("H/8", "W/8")),
        (nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.ConvTranspose2d(4, 4, 2, 2)), BY_8, ("H/4", "W/4")),
        (nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Upsample(scale_factor=8)), BY_8, ("H", "W")),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d((5, 7))), ANY, (5, 7)),
    ],
)
def test_a_grid_is_that_of_the_input_or_a_fraction(network: nn.Module, axis: FreeAxis, expected: Any) -> None:
    assert grid(network, axis) == expected


def test_a_grid_may_have_one_axis_or_one_letter_twice() -> None:
    assert grid(nn.Conv1d(3, 4, 3, padding=1), ANY, (3, "T")) == ("T",)
    assert grid(nn.Conv2d(3, 4, 3, padding=1), ANY, (3, "H", "H")) == ("H", "H")


class Crossed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x[:, :1]], dim=1).flatten(2)


@pytest.mark.parametrize(
    ("network", "axis", "message"),
    [
        (
            nn.Conv2d(3, 4, 2, 2),
            ANY,
            "a map of H/2 along axis 2, rounded where 2 does not divide H: axes.H.multiple_of",
        ),
        (nn.Conv2d(3, 4, 16, 16), BY_8, "axes.H.multiple_of must be a multiple of 16"),
        (nn.Conv2d(3, 4, 3), ANY, "510 cells along axis 2 for H = 512, neither H nor a fraction of it such as H/8"),
        (nn.ConvTranspose2d(3, 4, 2, 2), ANY, "1024 cells along axis 2 for H = 512, neither H nor a fraction"),
        (Crossed(), ANY, "cells along axis 2, which depends on H, W: a grid's axis is that of one letter"),
    ],
)
def test_a_grid_that_no_contract_can_say_is_refused(network: nn.Module, axis: FreeAxis, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        grid(network, axis)


def test_the_networks_of_an_ensemble_are_alike() -> None:
    x = torch.rand(2, 6)
    traced = [trace(nn.Linear(6, width).eval(), x) for width in (3, 4)]
    with pytest.raises(
        ValueError, match=r"network: expected all networks to give as many numbers, got \[3\] and \[4\]"
    ):
        describe_heads(traced, [(6,)], ExportOptions(labels="abc"))


def test_what_does_not_fit_names_its_head() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x[:, :3], x[:, 3:]

    heads = {"kind": HeadOptions(labels="abc"), "size": HeadOptions(targets=[("y", "m")])}
    traced = [trace(Two(), torch.rand(2, 5))]
    kind, size = describe_heads(traced, [(5,)], ExportOptions(heads=heads))
    assert (kind.name, size.name, len(size.outputs)) == ("kind", "size", 9)
    with pytest.raises(ValueError, match=r"heads\.kind: labels: the network has 3 classes, got 2 labels"):
        describe_heads(traced, [(5,)], ExportOptions(heads={**heads, "kind": HeadOptions(labels="ab")}))
    with pytest.raises(ValueError, match=r"heads\.size: precision: a regressor's numbers stay in float32"):
        describe_heads(traced, [(5,)], ExportOptions(heads=heads, precision="float16"))
