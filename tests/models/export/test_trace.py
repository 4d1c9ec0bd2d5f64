"""What a traced graph looks like, and what is no network; its numbers are tested with fold and compact."""

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from models.export.mark import MARK
from models.export.trace import trace
from models.layers import FrozenDropout, Masksembles1d, Masksembles2d

_aten = torch.ops.aten


def operations(graph: GraphModule) -> list[object]:
    """Of all but sizes."""
    calls = [node for node in graph.graph.nodes if node.op == "call_function"]
    return [node.target for node in calls if isinstance(node.meta["val"], Tensor)]


def masks_of(graph: GraphModule) -> list[Tensor]:
    marks = [node for node in graph.graph.nodes if node.target is MARK]
    return [graph.get_buffer(str(node.args[1].target)) for node in marks]


def test_every_mask_is_a_mark_with_its_factors() -> None:
    drawn = torch.tensor([[True, False] * 4, [False, True] * 4])
    first, second = Masksembles1d.from_masks(drawn, 2.0), FrozenDropout(~drawn, 0.75)
    network = nn.Sequential(nn.Linear(6, 8), first, nn.Linear(8, 8), second, nn.Linear(8, 3)).eval()
    graph = trace(network, torch.rand(2, 6))
    linear = _aten.linear.default
    assert operations(graph) == [linear, MARK, linear, MARK, linear]
    found = masks_of(graph)
    torch.testing.assert_close(found[0], drawn.float())
    torch.testing.assert_close(found[1], (~drawn).float() * 4)


def test_the_network_keeps_its_masks() -> None:
    network = nn.Sequential(nn.Linear(6, 8), Masksembles1d(8, 4), nn.Linear(8, 3)).eval()
    trace(network, torch.rand(2, 6))
    assert isinstance(network[1], Masksembles1d)


def test_a_graph_takes_any_batch_whatever_the_example() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    graph = trace(network, torch.rand(1, 6))
    for batch in (1, 2, 7):
        x = torch.rand(batch, 6)
        torch.testing.assert_close(graph(x), network(x))


def test_nothing_works_in_place() -> None:
    class InPlace(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = x * 2
            y[:, 0].add_(1)
            return y.relu_()

    graph = trace(InPlace(), torch.rand(2, 3))
    x = torch.randn(4, 3)
    before = x.clone()
    torch.testing.assert_close(graph(x), (x * 2 + torch.tensor([1.0, 0, 0])).relu())
    assert torch.equal(x, before)
    assert not [target for target in operations(graph) if target._schema.is_mutable]  # type: ignore[attr-defined]


@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm_stays_one_operation_with_one_result(affine: bool) -> None:
    norm = nn.BatchNorm2d(4, eps=1e-3, affine=affine)
    nn.init.uniform_(norm.running_mean, -1, 1)  # type: ignore[arg-type]
    nn.init.uniform_(norm.running_var, 0.5, 2)  # type: ignore[arg-type]
    network = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.Flatten(), nn.Linear(16, 3)).eval()
    graph = trace(network, torch.rand(2, 1, 4, 4))
    assert operations(graph)[1] is _aten.batch_norm.default
    assert len(operations(graph)) == 4
    node: Node = next(node for node in graph.graph.nodes if node.target is _aten.batch_norm.default)
    assert node.meta["val"].shape[1:] == (4, 2, 2)
    assert node.args[5] is False  # not training: otherwise its rows would be mixed
    x = torch.rand(3, 1, 4, 4)
    torch.testing.assert_close(graph(x), network(x))


class Returns(nn.Module):
    """Applies a function to its input."""

    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> object:
        return self.function(x)


def broken(x: Tensor) -> Tensor:
    raise KeyError("layer4")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda x: (x * 2,),
            r"must give one tensor of logits .*, got a tuple of \[\[s\S+, 3\]\]; several heads have names",
        ),
        (lambda x: (x, x.sum(1)), "must give one tensor of logits .*, got a tuple of"),
        (lambda x: (x, torch.cat([x, x])), r"gives 2\*s\S+ rows for"),
        (lambda x: {"logits": x * 2}, "must give one tensor of logits .*, got a dict of"),
        (lambda x: None, r"must give one tensor of logits .*, got \[\]"),
        (lambda x: x.sum(1), "must give one tensor of logits"),
        (lambda x: x.sum(0, keepdim=True), "must give one tensor of logits"),
        (lambda x: x.repeat(4, 1), r"gives 4\*\S+ rows for \S+: .* must not repeat its input"),
        (lambda x: torch.cat([x, x * 2]), "must not repeat its input"),
        (lambda x: x[x.sum(dim=1) > 0], r"gives u\d+ rows for \S+: it must leave out none"),
        (lambda x: x.reshape(2, -1), "cannot be traced for any batch size"),
        (broken, r"cannot be traced: .*test_trace\.py, line \d+, in broken: `raise KeyError.*`\nKeyError: 'layer4'"),
        (lambda x: x if x.sum() > 0 else -x, "cannot be traced"),
    ],
)
def test_what_is_no_network_says_why(function: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trace(Returns(function), torch.rand(2, 3))


def test_masks_of_maps_are_marked_too() -> None:
    network = nn.Sequential(nn.Conv2d(1, 8, 3), Masksembles2d(8, 4, seed=0), nn.Flatten(), nn.Linear(8, 3)).eval()
    (found,) = masks_of(trace(network, torch.rand(2, 1, 3, 3)))
    torch.testing.assert_close(found, network[1].factors)
