import pytest
import torch
from torch import nn

from models.export.fold import fold
from models.export.trace import trace
from models.layers import Masksembles1d, Masksembles2d, submodels
from models.networks.mlp import mlp
from tests.models.export.networks import NETWORKS, Branches, Residual


def check(network: nn.Module, shape: tuple[int, ...], count: int) -> tuple[torch.fx.GraphModule, int]:
    """Folds a network and holds it against the loop over its masks, at several batch sizes."""
    network = network.eval().requires_grad_(False)
    folded = fold(trace(network, torch.rand(2, *shape)), count)
    for batch in (1, 2, 3, 7):
        x = torch.rand(batch, *shape)
        expected = submodels(network, x)
        torch.testing.assert_close(folded.graph(x).reshape(count, batch, -1), expected, rtol=1e-5, atol=1e-6)
        assert (expected[0] - expected[1]).abs().max() > 1e-4
    return folded.graph, folded.shared


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


def test_a_skip_connection_is_expanded_once() -> None:
    graph, _ = check(Residual(), (6,), 4)
    assert str(graph.graph).count("aten.expand") == 1
    assert batches(graph, 5, (6,), "linear") == [5, 20, 20]


def test_branches_that_meet() -> None:
    graph, _ = check(Branches(), (6,), 4)
    assert batches(graph, 5, (6,), "linear") == [5, 5, 20]


@pytest.mark.parametrize("network", NETWORKS)
def test_every_way_into_the_masked_part(network: type[nn.Module]) -> None:
    check(network(), NETWORKS[network], 4)


def test_a_mask_on_the_input_and_on_the_output() -> None:
    check(nn.Sequential(Masksembles1d(6, 4, seed=0), nn.Linear(6, 8), Masksembles1d(8, 4, seed=1)), (6,), 4)


def test_a_graph_without_masks_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    graph = trace(network, torch.rand(2, 6))
    folded = fold(graph, 1)
    assert (folded.shared, folded.operations) == (3, 3)
    assert str(folded.graph.graph) == str(graph.graph)


def test_the_traced_graph_stays_as_it_is() -> None:
    traced = trace(mlp((6,), 3).eval(), torch.rand(2, 6))
    before = str(traced.graph)
    assert str(fold(traced, 4).graph.graph) != before
    assert str(traced.graph) == before
