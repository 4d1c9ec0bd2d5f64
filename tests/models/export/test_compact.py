import copy
from math import prod

import pytest
import torch
from hypothesis import example, given, settings
from torch import Tensor, nn

from models.export import cost
from models.export.compact import Form, compact
from models.export.fold import fold
from models.export.held import CannotGroup
from models.export.trace import trace
from models.layers import FrozenDropout, Masksembles1d, Masksembles2d, count, submodels
from models.networks.mlp import mlp
from models.networks.resnet import resnet
from models.networks.wide_resnet import wide_resnet
from tests.models.export import networks_drawn
from tests.models.export.networks import NETWORKS


def agree(network: nn.Module, graph: torch.fx.GraphModule, shape: tuple[int, ...]) -> None:
    """Holds a graph [B, …] → [N·B, K] in float64 against the loop, so that only a wrong result differs."""
    network, graph = copy.deepcopy(network).double(), graph.double()
    for batch in (1, 2, 5, 16):
        x = torch.rand(batch, *shape, dtype=torch.float64)
        expected = submodels(network, x).flatten(0, 1)
        torch.testing.assert_close(graph(x), expected, rtol=1e-7, atol=1e-7 * float(expected.abs().max()))


def compile_(network: nn.Module, shape: tuple[int, ...], form: Form) -> torch.fx.GraphModule:
    network = network.eval().requires_grad_(False)
    graph = compact(trace(network, torch.rand(2, *shape)), count(network), form)
    agree(network, graph, shape)
    return graph


def sizes(graph: torch.fx.GraphModule, operation: str) -> list[tuple[int, ...]]:
    """The weights of all operations of a kind."""
    return [
        tuple(graph.get_buffer(str(node.args[1].target)).shape)
        for node in graph.graph.nodes
        if node.op == "call_function" and operation in str(node.target)
    ]


@pytest.mark.parametrize("form", ["branches", "grouped"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_way_into_the_masked_part(network: type[nn.Module], form: Form) -> None:
    compile_(network(), NETWORKS[network], form)


@settings(max_examples=6, deadline=None)
@given(network=networks_drawn.NETWORKS)
@example(networks_drawn.Drawn(["mask", "pad", "mask"], width=4, submodels=2, scale=2.0, seed=0))
def test_any_small_network_survives_all_passes(network: nn.Module) -> None:
    network = network.eval().requires_grad_(False)
    traced = trace(network, torch.rand(2, 3, 8, 8))
    agree(network, compact(traced, count(network), "branches"), (3, 8, 8))
    try:
        agree(network, compact(traced, count(network), "grouped"), (3, 8, 8))
    except CannotGroup as error:
        assert "group" in str(error)  # noqa: PT017 - either it groups and agrees, or it says why not
    agree(network, fold(traced, count(network)).graph, (3, 8, 8))


def test_producers_and_consumers_are_sliced() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), Masksembles2d(32, 4, 2.19, seed=0),
        nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2), Masksembles2d(64, 4, 2.19, seed=1),
        nn.Flatten(), nn.Linear(64 * 4, 32), nn.ReLU(), Masksembles1d(32, 4, 2.19, seed=2), nn.Linear(32, 5),
    )  # fmt: skip
    graph = compile_(network, (1, 8, 8), "branches")
    assert sizes(graph, "conv2d") == [(32, 1, 3, 3), *[(32, 16, 3, 3)] * 4]
    assert sizes(graph, "linear") == [(16, 128), (5, 16)] * 4
    grouped = compile_(network, (1, 8, 8), "grouped")
    assert sizes(grouped, "conv2d") == [(32, 1, 3, 3), (128, 16, 3, 3)]
    assert sizes(grouped, "bmm") == [(4, 128, 16), (4, 16, 5)]


def test_a_residual_stream_is_sliced_where_it_is_read() -> None:
    network = resnet((3, 32, 32), 10, scale=2.19, align=16, depth=18)
    graph = compact(trace(network.eval(), torch.rand(2, 3, 32, 32)), 4, "branches")
    first = sizes(graph, "conv2d")[:3]
    assert first == [(64, 3, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3)]  # stem, and a block of the first submodel


@pytest.mark.parametrize("placement", ["all", "inside"])
def test_work_comes_down_to_what_the_masks_leave(placement: str) -> None:
    network = wide_resnet((3, 16, 16), 10, scale=2.19, align=16, placement=placement).eval()  # type: ignore[arg-type]
    x = torch.rand(2, 3, 16, 16)
    traced = trace(network, x)
    branches = cost.macs(compact(traced, 4, "branches"), x)
    assert branches / cost.macs(fold(traced, 4).graph, x) < (0.4 if placement == "all" else 0.52)


def test_equal_submodels_are_computed_once() -> None:
    graph = compile_(mlp((6,), 3, scale=1.0, hidden=(16, 16)), (6,), "branches")
    assert len(sizes(graph, "linear")) == 3


class Before(nn.Module):
    """Something between mask and convolution that does not leave zeros zero."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.first, self.mask = nn.Conv2d(1, 16, 3, padding=1), Masksembles2d(16, 4, seed=0, align=8)
        self.between, self.second = between, nn.Conv2d(16, 8, 3, padding=1)
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(self.between(self.mask(self.first(x))))
        return self.last(y.mean((2, 3)))


@pytest.mark.parametrize("form", ["branches", "grouped"])
@pytest.mark.parametrize(
    "between",
    [
        nn.Sigmoid(),
        nn.Softplus(),
        nn.BatchNorm2d(16),
        nn.ZeroPad2d(1),
        nn.ConstantPad2d(1, 2.0),
        nn.PReLU(16),
        nn.ELU(),
    ],
    ids=lambda module: type(module).__name__,
)
def test_a_dropped_channel_that_is_not_zero_after_all(between: nn.Module, form: Form) -> None:
    if isinstance(between, nn.BatchNorm2d):
        nn.init.uniform_(between.running_mean, -1, 1)  # type: ignore[arg-type]
        nn.init.uniform_(between.bias, -1, 1)
    compile_(Before(between), (1, 6, 6), form)


@pytest.mark.parametrize("form", ["branches", "grouped"])
@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: nn.Conv1d(4, 16, 3), (4, 9)),
        (lambda: nn.ConvTranspose1d(4, 16, 3, stride=2, output_padding=1), (4, 9)),
        (lambda: nn.Conv3d(4, 16, (1, 3, 3), padding="same"), (4, 3, 4, 5)),
        (lambda: nn.ConvTranspose3d(4, 16, 2), (4, 3, 4, 5)),
        (lambda: nn.ConvTranspose2d(4, 16, 3, dilation=2), (4, 5, 5)),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 16, 3)), (4, 5, 5)),
    ],
)
def test_convolutions_of_every_kind(build, shape: tuple[int, ...], form: Form) -> None:  # type: ignore[no-untyped-def]
    from models.layers import Masksembles3d

    kind = {2: Masksembles1d, 3: Masksembles2d, 4: Masksembles3d}[len(shape)]
    network = nn.Sequential(
        kind(4, 3, seed=0, align=1), build(), kind(16, 3, seed=1, align=1), nn.ReLU(), nn.Flatten(2)
    )
    network.append(nn.AdaptiveAvgPool1d(1)).append(nn.Flatten()).append(nn.Linear(16, 3))
    graph = compile_(network, shape, form)
    compacted = sum(prod(size) for size in sizes(graph, "conv"))
    assert compacted < 3 * sum(p.numel() for p in network[1].parameters() if p.ndim > 1)


def test_what_mixes_channels_cannot_be_grouped() -> None:
    network = Before(nn.LayerNorm(6)).eval()
    with pytest.raises(CannotGroup, match=r"layer_norm .* mixes channels"):
        compact(trace(network, torch.rand(2, 1, 6, 6)), 4, "grouped")
    compile_(network, (1, 6, 6), "branches")


class Crops(nn.Module):
    """Indexes its maps, which are traced as a slice of all rows and then those of height and width."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, 1:, :-1]


@pytest.mark.parametrize("form", ["branches", "grouped"])
def test_a_crop_keeps_channels_apart(form: Form) -> None:
    graph = compile_(Before(Crops()), (1, 6, 6), form)
    assert sizes(graph, "conv2d")[1:] == ([(8, 8, 3, 3)] * 4 if form == "branches" else [(32, 8, 3, 3)])


class Features(nn.Module):
    """Pools [B, F], which torch takes for one sample of B channels."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.first, self.mask, self.pool = nn.Linear(6, 16), Masksembles1d(16, 4, seed=0, align=1), pool
        self.second, self.other, self.last = nn.Linear(16, 8), Masksembles1d(8, 4, seed=1, align=1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.pool(self.mask(self.first(x)))
        return self.last(self.other(self.second(y).relu()))


@pytest.mark.parametrize(
    "pool", [nn.MaxPool1d(3, 1, 1), nn.AvgPool1d(3, 1, 1)], ids=lambda module: type(module).__name__
)
def test_pooling_across_features_is_not_taken_for_pooling_of_maps(pool: nn.Module) -> None:
    compile_(Features(pool), (6,), "branches")


class Divides(nn.Module):
    """Masks of unequal size, then operations that are not finite at zero."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.ones(3, 16, dtype=torch.bool)
        drawn[0, 2:9] = drawn[1, 5] = False
        self.first, self.mask = nn.Conv2d(1, 16, 3), FrozenDropout(drawn, 0.2)
        self.register_buffer("factor", torch.rand(16, 1, 1) + 0.5)
        self.second, self.last = nn.Conv2d(16, 8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mask(self.first(x)) / self.factor
        return self.last((self.second(y) / self.factor[:8]).mean((2, 3)))


@pytest.mark.parametrize("form", ["branches", "grouped"])
def test_what_pads_a_group_never_reaches_the_answer(form: Form) -> None:
    compile_(Divides(), (1, 6, 6), form)
