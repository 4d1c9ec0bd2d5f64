from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from app.contract.head import Head
from app.contract.tasks import classification
from models import runtime
from models.export import cost
from models.export.compact import compact
from models.export.convert import convert
from models.export.cost import DeviceName, PlanName
from models.export.fold import fold
from models.export.preprocess import Preprocess
from models.export.served import Served
from models.export.trace import trace
from models.layers import Masksembles2d
from models.networks.cnn import cnn
from models.networks.mlp import mlp
from models.networks.wide_resnet import wide_resnet

THREE = Head(labels=tuple("abc"), outputs=classification.outputs())


def plans(network: nn.Module, x: torch.Tensor) -> dict[PlanName, torch.fx.GraphModule]:
    traced = trace(network.eval().requires_grad_(False), x)
    return {
        "folded": fold(traced, 4).graph,
        "branches": compact(traced, 4, "branches"),
        "grouped": compact(traced, 4, "grouped"),
    }


def test_multiply_accumulates_are_counted() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 5)).eval()
    x = torch.rand(2, 3, 6, 6)
    assert cost.macs(trace(network, x), x) == 16 * 8 * 3 * 9 + 8 * 16 * 5


def products(network: nn.Module, x: torch.Tensor) -> list[tuple[bool, bool]]:
    """Of every convolution or product of a network as it is traced: whether it is grouped, and aligned."""
    works = cost._works(trace(network.eval(), x), x)
    return [(work.grouped, work.aligned) for work in works if work.macs]


@pytest.mark.parametrize(
    ("layer", "grouped"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), True),
        (nn.Conv2d(8, 8, 3, groups=2, padding="same"), True),
        (nn.ConvTranspose2d(8, 8, 3, groups=2), True),
        (nn.Conv2d(8, 8, 3), False),
        (nn.ConvTranspose2d(8, 8, 3), False),
    ],
)
def test_a_grouped_convolution_is_one_however_it_is_called(layer: nn.Module, grouped: bool) -> None:
    assert products(nn.Sequential(layer, nn.Flatten()), torch.rand(2, 8, 5, 5)) == [(grouped, True)]


def test_a_convolution_costs_the_same_in_every_plan() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 32, 3), Masksembles2d(32, 4, scale=1.0), nn.Conv2d(32, 32, 3, groups=32), nn.Flatten()
    )  # fmt: skip
    x = torch.rand(2, 3, 6, 6)
    found = plans(network, x)
    for graph in found.values():
        assert [work.grouped for work in cost._works(graph, x) if work.macs] == [False, True]


@pytest.mark.parametrize(
    ("layer", "aligned"),
    [
        (nn.Conv2d(48, 24, 1), True),
        (nn.Conv2d(24, 48, 1), False),
        (nn.Conv2d(48, 48, 1, groups=2), False),
        (nn.Conv2d(96, 48, 1, groups=2), True),
        (nn.ConvTranspose2d(48, 24, 1), True),
        (nn.ConvTranspose2d(24, 48, 1), False),
        (nn.ConvTranspose2d(48, 96, 1, groups=2), False),
        (nn.ConvTranspose2d(96, 48, 1, groups=2), True),
        (nn.Conv2d(12, 48, 1), True),  # fewer than a block
    ],
)
def test_alignment_is_that_of_the_channels_that_a_group_reads(
    layer: nn.Conv2d | nn.ConvTranspose2d, aligned: bool
) -> None:
    x = torch.rand(2, layer.in_channels, 3, 3)
    assert [found for _, found in products(nn.Sequential(layer, nn.Flatten()), x)] == [aligned]


class Attention(nn.Module):
    """The products of heads [B, heads, tokens, width] with themselves."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x @ (x * 2).transpose(2, 3)) @ x).flatten(1)


@pytest.mark.parametrize(
    ("heads", "tokens", "width", "aligned"), [(24, 16, 32, [True, True]), (16, 17, 24, [False, False])]
)
def test_a_product_sums_over_the_last_axis_of_what_it_reads(
    heads: int, tokens: int, width: int, aligned: list[bool]
) -> None:
    assert [found for _, found in products(Attention(), torch.rand(2, heads, tokens, width))] == aligned


@pytest.mark.parametrize(
    ("network", "shape", "device", "plan"),
    [
        (wide_resnet((3, 32, 32), 10), (3, 32, 32), "cpu", "branches"),
        (mlp((784,), 10, hidden=(1024, 1024)), (784,), "cpu", "branches"),
        (cnn((1, 28, 28), 10), (1, 28, 28), "cpu", "branches"),
        (mlp((64,), 10), (64,), "cpu", "folded"),  # too small to gain anything
        (mlp((64,), 10), (64,), "cuda", "folded"),
    ],
)
def test_the_rule_is_fixed_for_each_device(
    network: nn.Module, shape: tuple[int, ...], device: DeviceName, plan: str
) -> None:
    x = torch.rand(2, *shape)
    graphs = plans(network, x)
    chosen = cost.choose(graphs, x, device)
    assert chosen == cost.choose(graphs, x, device)
    assert chosen.plan == plan
    assert chosen.reason


def test_folding_is_kept_where_a_plan_loses_with_a_single_row() -> None:
    measured: dict[PlanName, dict[int, float]] = {
        "folded": {1: 10.0, 16: 100.0, 64: 400.0},
        "branches": {1: 11.6, 16: 50.0, 64: 200.0},
    }
    assert cost._cheapest(measured, "measured").plan == "folded"
    measured["branches"][1] = 11.4
    assert cost._cheapest(measured, "measured").plan == "branches"
    measured["branches"][64] = 390.0
    kept = cost._cheapest(measured, "measured")
    assert (kept.plan, kept.reason) == (
        "folded",
        "branches gains too little, measured at 1.14 at batch 1, 0.50 at batch 16, 0.97 at batch 64 of the folded "
        "plan's time",
    )


@pytest.mark.slow
def test_tuning_measures_in_onnxruntime() -> None:
    network, x = mlp((6,), 3, hidden=(16,)), torch.rand(2, 6)
    models: dict[PlanName, Any] = {}
    for name, graph in plans(network, x).items():
        models[name] = convert(Served(graph, 4, Preprocess(None, x.shape), [THREE]).eval(), x)
    chosen = cost.tune(models, {"input": x.numpy()}, "cpu")
    assert chosen.plan in models
    assert "faster" in chosen.reason or "measured at" in chosen.reason


def test_tuning_for_a_device_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    x = torch.rand(2, 6)
    model = convert(Served(trace(nn.Linear(6, 3), x), 1, Preprocess(None, x.shape), [THREE]).eval(), x)
    with pytest.raises(runtime.DeviceUnavailable, match="no CUDAExecutionProvider here"):
        cost.tune({"folded": model}, {"input": np.zeros((2, 6), np.float32)}, "cuda")
