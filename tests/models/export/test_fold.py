import torch
from torch import Tensor, nn

from models.export.fold import fold
from models.export.trace import trace
from models.layers import Masksembles1d, Masksembles2d, submodels


def check(network: nn.Module, shape: tuple[int, ...], count: int) -> tuple[torch.fx.GraphModule, int]:
    """Folds a network and holds it against the loop over its masks, at several batch sizes."""
    network = network.eval().requires_grad_(False)
    graph = trace(network, torch.rand(2, *shape))
    shared, _ = fold(graph, count)
    for batch in (1, 2, 3, 7):
        x = torch.rand(batch, *shape)
        expected = submodels(network, x)
        torch.testing.assert_close(graph(x).reshape(count, batch, -1), expected, rtol=1e-5, atol=1e-6)
        assert (expected[0] - expected[1]).abs().max() > 1e-4
    return graph, shared


def batches(graph: torch.fx.GraphModule, rows: int, shape: tuple[int, ...], operation: str) -> list[int]:
    """On how many rows an operation runs, each time for a batch of `rows`."""
    seen: list[int] = []

    class Counter(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> object:
            result = super().run_node(node)
            if node.op == "call_function" and operation in str(node.target):
                seen.append(len(result))
            return result

    Counter(graph).run(torch.rand(rows, *shape))
    return seen


def test_the_part_before_the_first_mask_runs_once() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), Masksembles2d(8, 3, seed=0),
        nn.Conv2d(8, 8, 3), nn.ReLU(), Masksembles2d(8, 3, seed=1), nn.Flatten(), nn.Linear(8 * 4, 5),
    )  # fmt: skip
    graph, shared = check(network, (1, 8, 8), 3)
    assert batches(graph, 4, (1, 8, 8), "conv2d") == [4, 4, 12]
    assert batches(graph, 4, (1, 8, 8), "linear") == [12]
    assert shared == 4


class Residual(nn.Module):
    """Two values enter the masked part from outside: a skip connection, and one that two operations use."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(16, 3)
        self.mask, self.other = Masksembles1d(8, 4, seed=0), Masksembles1d(8, 4, seed=1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x).relu()
        y = self.inner(self.mask(h)).relu() + h
        y = self.other(y) * h
        return self.last(torch.cat([y, h], dim=1))  # type: ignore[no-any-return]


def test_a_skip_connection_is_expanded_once() -> None:
    graph, _ = check(Residual(), (6,), 4)
    assert str(graph.graph).count("aten.expand") == 1
    assert batches(graph, 5, (6,), "linear") == [5, 20, 20]


class Branches(nn.Module):
    """Two branches that are masked apart and meet."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 3)
        self.first, self.second = Masksembles1d(8, 4, seed=0), Masksembles1d(8, 4, seed=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(self.left(x)) + self.second(self.right(x)))  # type: ignore[no-any-return]


def test_branches_that_meet() -> None:
    graph, _ = check(Branches(), (6,), 4)
    assert batches(graph, 5, (6,), "linear") == [5, 5, 20]


class ByHand(nn.Module):
    """Shapes computed from the batch size, as hand-written networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 8, 3), nn.Linear(8 * 9, 3)
        self.mask = Masksembles2d(8, 4, seed=0)

    def forward(self, x: Tensor) -> Tensor:
        y = self.mask(self.conv(x))
        return self.last(y.view(x.shape[0], -1))  # type: ignore[no-any-return]


def test_sizes_that_count_rows_count_all_of_them() -> None:
    check(ByHand(), (1, 5, 5), 4)


def test_a_mask_on_the_input_and_on_the_output() -> None:
    check(nn.Sequential(Masksembles1d(6, 4, seed=0), nn.Linear(6, 8), Masksembles1d(8, 4, seed=1)), (6,), 4)


def test_a_graph_without_masks_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    graph = trace(network, torch.rand(2, 6))
    before = str(graph.graph)
    assert fold(graph, 1) == (3, 3)
    assert str(graph.graph) == before
