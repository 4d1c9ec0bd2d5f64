"""Writes splits as slices, of which each takes its own channels."""

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

from models.export.nodes import copied

_aten = torch.ops.aten
_SPLITS = (_aten.split.Tensor, _aten.split_with_sizes.default)


def without_splits(graph: GraphModule) -> GraphModule:
    """A copy of a traced graph in which every part of a split along an axis of fixed size is a slice of its own."""
    graph = copied(graph)
    for node in list(graph.graph.nodes):
        if node.target in _SPLITS and all(user.target is operator.getitem for user in node.users):
            _slice(graph, node)
    graph.graph.lint()
    return graph


def _slice(graph: GraphModule, node: Node) -> None:
    x = node.args[0]
    dim: Any = node.args[2] if len(node.args) > 2 else 0
    ends = [0]
    for part in node.meta["val"]:
        ends.append(ends[-1] + part.shape[dim])
    if not all(isinstance(end, int) for end in ends):
        return
    for user in list(node.users):
        number: Any = user.args[1]
        with graph.graph.inserting_before(user):
            taken = graph.graph.call_function(_aten.slice.Tensor, (x, dim, ends[number], ends[number + 1]))
        taken.meta = dict(user.meta)
        user.replace_all_uses_with(taken)
        graph.graph.erase_node(user)
    graph.graph.erase_node(node)
