"""Which channels two submodels need, for masks written by hand; that nothing is lost is tested in test_compact."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.export.channels import analyse
from models.export.nodes import constants
from models.export.trace import trace
from models.layers import FrozenDropout, Masksembles1d

Stored = dict[str, list[list[int]]]


def kept(*channels: list[int], size: int = 4) -> Masksembles1d:
    """A mask that keeps these channels of each submodel."""
    drawn = torch.zeros(len(channels), size)
    for row, places in zip(drawn, channels):
        row[places] = 1
    return Masksembles1d.from_masks(drawn, 2.0)


def stored(network: nn.Module, row: tuple[int, ...] = (6,), align: int = 1) -> Stored:
    """For each operation of the masked part, `linear`, `linear_1` and so on, the channels of both submodels."""
    traced = trace(network.eval().requires_grad_(False), torch.rand(2, *row))
    found: Stored = {}
    for node, indices in analyse(traced, constants(traced), 2, align).stored.items():
        name = str(node.target.overloadpacket.__name__)
        number = sum(key.partition("_")[0] == name for key in found)
        found[f"{name}_{number}" if number else name] = [index.tolist() for index in indices]
    return found


def test_a_layer_between_masks_stores_what_the_second_keeps() -> None:
    first, second = kept([0, 1], [1, 2]), kept([3], [0, 3])
    network = nn.Sequential(nn.Linear(6, 4), first, nn.ReLU(), nn.Linear(4, 4), second, nn.Linear(4, 2))
    assert stored(network) == {
        "mark": [[0, 1], [1, 2]],
        "relu": [[0, 1], [1, 2]],
        "linear": [[3], [0, 3]],
        "mark_1": [[3], [0, 3]],
        "linear_1": [[0, 1], [0, 1]],  # the answer, whole; the first layer is shared and not listed
    }


@pytest.mark.parametrize(
    ("align", "hidden"),
    [
        (1, [4, 5, 6]),
        (2, [0, 4, 5, 6]),  # one that nobody needs, the first there is
        (8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (16, [4, 5, 6]),  # there are not enough to round up
    ],
)
def test_channels_are_added_up_to_a_multiple(align: int, hidden: list[int]) -> None:
    last = kept([4, 5, 6], [4, 5, 6], size=8)
    found = stored(nn.Sequential(kept([0], [1], size=6), nn.Linear(6, 8), last, nn.Linear(8, 2)), align=align)
    assert found["linear"][0] == hidden
    # a channel that the mask drops would fill nothing but the block
    assert found["mark_1"] == [[4, 5, 6], [4, 5, 6]]


@pytest.mark.parametrize(
    ("layer", "name", "expected"),
    [
        (nn.ReLU(), "relu", [[0, 1], [1, 2]]),
        (nn.Sigmoid(), "sigmoid", [[0, 1, 2, 3], [0, 1, 2, 3]]),
        (nn.BatchNorm1d(4), "batch_norm", [[0, 1, 3], [1, 2, 3]]),
        (nn.LayerNorm(4), "layer_norm", [[0, 1, 2, 3], [0, 1, 2, 3]]),
    ],
)
def test_a_dropped_channel_comes_back_where_it_is_shifted(
    layer: nn.Module, name: str, expected: list[list[int]]
) -> None:
    if isinstance(layer, nn.BatchNorm1d):
        layer.bias.data[3] = 1
    found = stored(nn.Sequential(nn.Linear(6, 4), kept([0, 1], [1, 2]), layer, nn.Linear(4, 2)))
    assert found[name] == expected
    assert found["mark"] == [[0, 1], [1, 2]]


class Meets(nn.Module):
    """Two branches that are masked apart, and a function of both."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], width: int) -> None:
        super().__init__()
        self.function = function
        self.left, self.right, self.last = nn.Linear(6, 4), nn.Linear(6, 4), nn.Linear(width, 2)
        self.first, self.second = kept([0, 1], [0, 1]), kept([1, 2], [2, 3])

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(self.first(self.left(x)), self.second(self.right(x))))


@pytest.mark.parametrize(
    ("function", "width", "name", "expected", "sides"),
    [
        (torch.add, 4, "add", [[0, 1, 2], [0, 1, 2, 3]], [[[0, 1], [0, 1]], [[1, 2], [2, 3]]]),
        # zero where either side is; in the second submodel everywhere, and no tensor is empty
        (torch.mul, 4, "mul", [[1], [0]], [[[1], [0]], [[1], [0]]]),
        (
            lambda a, b: torch.cat([a, b], 1), 8, "cat",
            [[0, 1, 5, 6], [0, 1, 6, 7]], [[[0, 1], [0, 1]], [[1, 2], [2, 3]]],
        ),
        # one number for all channels is needed by all, and the others of its side by none
        (lambda a, b: a * b[:, 2:3], 4, "mul", [[0, 1], [0, 1]], [[[0, 1], [0, 1]], [[2], [2]]]),
    ],
)  # fmt: skip
def test_where_branches_meet(
    function: Callable[[Tensor, Tensor], Tensor],
    width: int,
    name: str,
    expected: list[list[int]],
    sides: list[list[list[int]]],
) -> None:
    found = stored(Meets(function, width))
    assert found[name] == expected
    assert [found["mark"], found["mark_1"]] == sides


def test_a_flattened_channel_is_kept_whole() -> None:
    one = kept([0, 5], [7], size=8)
    network = nn.Sequential(nn.Conv1d(1, 4, 3), kept([0, 1, 2], [1, 3]), nn.Flatten(), one, nn.Linear(8, 2))
    found = stored(network, (1, 4))
    assert found["mark"] == [[0, 2], [3]]
    assert found["view"] == [[0, 1, 4, 5], [6, 7]]
    assert found["mark_1"] == [[0, 5], [7]]


class Unflattens(nn.Module):
    """Features become channels of two places each."""

    def __init__(self) -> None:
        super().__init__()
        self.mask, self.conv = kept([0, 5], [6], size=8), nn.Conv1d(4, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.mask(x).view(-1, 4, 2)).flatten(1)


def test_a_channel_lives_by_any_of_its_features() -> None:
    found = stored(Unflattens(), (8,))
    assert found["mark"] == [[0, 5], [6]]
    assert found["view"] == [[0, 2], [3]]


def test_a_mask_of_single_places_keeps_a_channel_of_which_any_is_left() -> None:
    drawn = torch.zeros(2, 3, 4, dtype=torch.bool)
    drawn[0, 0, 2] = drawn[0, 1] = drawn[1, 2, 0] = True
    network = nn.Sequential(nn.Conv1d(1, 3, 1), FrozenDropout(drawn, 0.5), nn.Conv1d(3, 2, 4), nn.Flatten())
    assert stored(network, (1, 4))["mark"] == [[0, 1], [2]]


def test_the_size_of_a_batch_needs_no_channel() -> None:
    network = nn.Sequential(kept([0], [1], size=6), nn.Linear(6, 4), kept([1, 2], [2]), nn.Flatten(), nn.Linear(4, 2))
    traced = trace(network.eval().requires_grad_(False), torch.rand(2, 6))
    linear = next(node for node in traced.graph.nodes if node.target is torch.ops.aten.linear.default)
    with traced.graph.inserting_after(linear):
        traced.graph.call_function(torch.ops.aten.sym_size.int, (linear, 0))
    plan = analyse(traced, constants(traced), 2, 1)
    assert [index.tolist() for index in plan.stored[linear]] == [[1, 2], [2]]


def test_a_block_is_filled_with_channels_that_are_alive() -> None:
    first, second = kept([1, 2, 3, 4, 5], [3, 4, 5], size=8), kept([3, 4, 5], [3, 4, 5], size=8)
    found = stored(nn.Sequential(nn.Linear(6, 8), first, nn.ReLU(), second, nn.Linear(8, 2)), align=4)
    assert found["relu"] == [[1, 3, 4, 5], [3, 4, 5]]


class Joins(nn.Module):
    """What is left of two parts by a mask over both."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = kept([1, 6, 7], [0, 4], size=8)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.mask(torch.cat([left, right], dim=1))


def test_each_part_stores_what_is_needed_of_it() -> None:
    found = stored(Meets(Joins(), 8))
    assert found["cat"] == [[1, 6], [0]]
    # of the right part the second submodel needs nothing, and no tensor is empty
    assert (found["mark"], found["mark_1"]) == ([[1], [0]], [[2], [0]])


class Gates(nn.Module):
    """One channel of two places, made of masked features, for all channels of a map."""

    def __init__(self) -> None:
        super().__init__()
        self.map, self.gate, self.mask = nn.Linear(6, 8), nn.Linear(6, 2), kept([0, 1], [1], size=2)
        self.last = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.mask(self.gate(x)).view(-1, 1, 2)
        return self.last((self.map(x).view(-1, 4, 2) * gate).flatten(1))


def test_what_all_channels_share_is_needed_by_any() -> None:
    found = stored(Gates())
    assert (found["mark"], found["view"]) == ([[0, 1], [1]], [[0], [0]])
