"""What is known of a traced graph's nodes: shapes, weights, whether they carry the batch or depend on a mask."""

from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from models.export.mark import MARK


def copied(graph: GraphModule) -> GraphModule:
    """A separate graph with the same weights."""
    # not deepcopy, which would copy all weights, too
    nodes, values = Graph(), dict[Node, Node]()
    for node in graph.graph.nodes:
        values[node] = nodes.node_copy(node, values.__getitem__)
    nodes.set_codegen(graph.graph._codegen)  # torch.export's: knows how arguments and results are packed
    return GraphModule(graph, nodes)


def results(graph: GraphModule) -> list[Node]:
    """What a graph gives: a value for each head, in order."""
    given: Any = graph.graph.output_node().args[0]
    return [given] if isinstance(given, Node) else [value for value in given or () if isinstance(value, Node)]


def shape(node: Node) -> tuple[Any, ...]:
    return tuple(node.meta["val"].shape)


def same(one: Any, other: Any) -> bool:
    """Whether two sizes are equal at every batch size and size of a free axis, and not in the example alone."""
    return statically_known_true(one == other)


def batch_axes(node: Node) -> list[int]:
    """The axes of a tensor whose sizes depend on the batch; none of what is no tensor."""
    value = node.meta.get("val")
    sizes = value.shape if isinstance(value, Tensor) else ()
    return [axis for axis, size in enumerate(sizes) if counts_rows(node, size)]


def carries_batch(node: Node) -> bool:
    """Whether a value is a tensor [B, …] with the batch on axis 0 alone."""
    return batch_axes(node) == [0]


def counts_rows(node: Node, size: Any) -> bool:
    """Whether a size that a value of the graph has depends on the batch; those of free axes are no numbers either."""
    if not isinstance(size, torch.SymInt):
        return False
    given = next(other for other in node.graph.nodes if other.op == "placeholder")
    batch = given.meta["val"].shape[0]
    return bool(size.node.expr.free_symbols & batch.node.expr.free_symbols)


def has_channels(node: Node) -> bool:
    """Whether a value is a tensor that has axes beside the batch's, such as [B, C, …] or [T, B, C]."""
    return len(batch_axes(node)) == 1 and node.meta["val"].ndim >= 2


def arguments(node: Node) -> dict[str, Any]:
    """What an operation is called with, by name: a traced graph gives by position what another may name."""
    names = [argument.name for argument in node.target._schema.arguments]  # type: ignore[union-attr]
    return {**dict(zip(names, node.args)), **node.kwargs}


def attribute(graph: GraphModule, node: Node) -> Tensor:
    """The weight that a `get_attr` node names."""
    value: Any = graph
    for name in str(node.target).split("."):
        value = getattr(value, name)
    return value.detach()  # type: ignore[no-any-return]


def constants(graph: GraphModule) -> dict[Node, Tensor]:
    """The values of all nodes that do not depend on the input: weights, and what is computed from them."""
    found: dict[Node, Any] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            found[node] = attribute(graph, node)
        elif node.op == "call_function" and all(x in found for x in node.all_input_nodes):
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda x: found[x])
            found[node] = node.target(*args, **kwargs)
    return found


def masked_part(graph: GraphModule) -> set[Node]:
    """The nodes that depend on a mark."""
    found: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op == "call_function" and (node.target is MARK or found.intersection(node.all_input_nodes)):
            found.add(node)
    return found
