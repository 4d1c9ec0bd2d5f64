import torch
from torch import nn

from models.export.nodes import arguments, carries_batch, constants, copied, has_channels, masked_part, shape
from models.export.trace import trace
from models.networks.mlp import mlp


def test_a_copy_has_nodes_of_its_own_and_the_same_weights() -> None:
    network = mlp((6,), 3, hidden=(16,)).eval().requires_grad_(False)
    x = torch.rand(2, 6)
    graph = trace(network, x)
    copy = copied(graph)
    assert not set(copy.graph.nodes) & set(graph.graph.nodes)
    assert {x.data_ptr() for x in copy.parameters()} == {x.data_ptr() for x in graph.parameters()}
    assert str(copy.graph) == str(graph.graph)
    torch.testing.assert_close(copy(x), graph(x))
    copy.graph.output_node().args = (None,)
    assert graph(x) is not None


def test_only_what_follows_a_mask_is_masked() -> None:
    graph = trace(mlp((6,), 3, hidden=(16, 16)).eval().requires_grad_(False), torch.rand(2, 6))
    masked = masked_part(graph)
    linears = [node for node in graph.graph.nodes if node.target is torch.ops.aten.linear.default]
    assert [node in masked for node in linears] == [False, True, True]
    assert [shape(node)[1:] for node in linears] == [(16,), (16,), (3,)]
    assert all(carries_batch(node) and has_channels(node) for node in linears)


def test_constants_are_computed_from_weights_alone() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight * 2)

    network = Doubled().eval().requires_grad_(False)
    graph = trace(network, torch.rand(2, 6))
    known = constants(graph)
    (linear,) = (node for node in graph.graph.nodes if node.target is torch.ops.aten.linear.default)
    assert linear not in known
    torch.testing.assert_close(known[linear.args[1]], network.weight * 2)


def test_arguments_have_names_wherever_they_stand() -> None:
    graph = torch.fx.Graph()
    x, weight = graph.placeholder("x"), graph.placeholder("weight")
    by_place = graph.call_function(torch.ops.aten.conv2d.default, (x, weight, None, [2, 2], [0, 0], [1, 1], 4))
    by_name = graph.call_function(torch.ops.aten.conv2d.default, (x, weight), {"stride": [2, 2], "groups": 4})
    found = arguments(by_place)
    assert (found["input"], found["weight"], found["bias"], found["groups"]) == (x, weight, None, 4)
    assert arguments(by_name) == {"input": x, "weight": weight, "stride": [2, 2], "groups": 4}
