"""Splits along channels, and what becomes of the projection before them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.export.split import without_splits
from models.export.trace import trace
from models.layers import Masksembles1d, Masksembles2d
from tests.models.export.plans_agree import plans, weights
from tests.models.export.test_tokens import Attention, Mean, OfTorch, ours


class Halves(nn.Module):
    """A gate by one half of the channels for the other, as gated linear units and shuffled blocks have it."""

    def __init__(self, halve: Callable[[Tensor], tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.halve = halve
        self.first, self.mask = nn.Conv2d(2, 32, 3, padding=1), Masksembles2d(32, 3, 2.0, align=1)
        self.second, self.last = nn.Conv2d(16, 8, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.halve(self.mask(self.first(x)))
        return self.last(self.second(one * other.sigmoid()).mean((2, 3)))


HALVES: dict[str, Callable[[Tensor], tuple[Tensor, ...]]] = {
    "chunk": lambda x: x.chunk(2, dim=1),
    "split": lambda x: x.split([16, 16], dim=1),
    "slice": lambda x: (x[:, :16], x[:, 16:]),
    "every second": lambda x: (x[:, ::2], x[:, 1::2]),
}


@pytest.mark.parametrize("halve", HALVES)
def test_parts_take_their_channels_alone(halve: str) -> None:
    found = plans(Halves(HALVES[halve]), torch.rand(7, 2, 4, 4))
    assert set(found) == {"folded", "branches", "grouped"}
    assert all(inputs < 16 for _, inputs, *_ in weights(found["branches"], "conv2d")[1:])


def test_an_empty_part_gives_one_channel() -> None:
    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            drawn = torch.zeros(2, 8)
            drawn[0, :3] = drawn[1, 2:5] = 1
            self.mask, self.last = Masksembles1d.from_masks(drawn, 1.0), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            one, other = self.mask(x).chunk(2, dim=1)
            return self.last(one.cos() * other.exp())

    plans(One(), torch.rand(7, 8))


def test_splits_along_other_axes_and_those_that_are_used_whole_stay_right() -> None:
    class Others(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mask, self.conv, self.last = ours(8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            first, second = self.conv(self.mask(x)).split([2, 4], dim=1)
            return self.last(first.mean(1) * torch.cat(second.split(1, dim=1), dim=1).amax(1))

    plans(Others(), torch.rand(7, 6, 8))


@pytest.mark.parametrize("attention", [Attention, OfTorch])
def test_the_projection_of_queries_keys_and_values_takes_the_features_that_a_mask_leaves(
    attention: type[nn.Module],
) -> None:
    found = plans(nn.Sequential(nn.Linear(3, 8), ours(8), attention(), nn.Linear(8, 4), Mean()), torch.rand(7, 5, 3))
    projections = [size for size in weights(found["branches"], "linear") if size[0] == 24]
    assert projections == [(24, 4)] * 3 or projections == [(24, 5)] * 3


def test_a_graph_has_slices_instead_of_splits() -> None:
    graph = trace(Halves(HALVES["chunk"]).eval().requires_grad_(False), torch.rand(2, 2, 4, 4))
    before = str(graph.graph)
    found = without_splits(graph)
    assert "split" in before
    assert "split" not in str(found.graph)
    assert str(graph.graph) == before
    torch.testing.assert_close(found(torch.ones(3, 2, 4, 4)), graph(torch.ones(3, 2, 4, 4)))
