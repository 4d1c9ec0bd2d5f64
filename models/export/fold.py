"""Folds the submodels into the batch at the first mask.

What comes before a mask is the same for every submodel and stays on B rows. From the first mask on there are N·B
rows in submodel-major order, n·B + b; a value that enters that part from outside is expanded once, there.
"""

from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch.fx import GraphModule, Node

from models.export.mark import MARK
from models.export.nodes import batch_axes, copied, counts_rows, same, shape
from models.export.operation import SHAPES

_aten = torch.ops.aten


@dataclass(frozen=True)
class Folded:
    """A graph [B, …] → [N·B, K, …] in submodel-major order, for each of its outputs."""

    graph: GraphModule
    shared: int
    """How many operations run once, on B rows."""
    operations: int
    """How many there are; a mask counts as one, sizes do not count."""


def fold(traced: GraphModule, submodels: int) -> Folded:
    """Folds a traced graph [B, …] → [B, K, …] for N submodels; a graph without marks stays as it is.

    Raises:
        ValueError: a value has the batch on several axes, or a mask applies to one that has it on another axis than 0;
            or samples lie in between tokens, or a size grows with the number of rows, and not in proportion.
    """
    graph = copied(traced)
    apart = _apart(graph)
    folded: set[Node] = set()
    expanded: dict[Node, Node] = {}
    shared = 0
    operations = [node for node in graph.graph.nodes if node.op == "call_function"]
    total = sum(isinstance(node.meta.get("val"), torch.Tensor) for node in operations)
    for node in operations:
        if node.target is not MARK and not folded.intersection(node.all_input_nodes):
            shared += isinstance(node.meta.get("val"), torch.Tensor)
            continue
        if node.target is not MARK:
            if entering := apart.difference(folded).intersection(node.all_input_nodes):
                raise ValueError(_in_between(entering.pop()))
            with graph.graph.inserting_before(node):
                node.args, node.kwargs = torch.fx.map_arg(
                    (node.args, node.kwargs), lambda value: _enter(graph, value, submodels, folded, expanded)
                )
            folded.add(node)
            continue
        x, masks = node.args
        if x in apart:
            raise ValueError(_in_between(x))
        if _batch_axis(x) != 0:
            raise ValueError(
                f"a mask applies to {x.name}, which has the batch on another axis than 0: {list(x.meta['val'].shape)}"
            )
        channels, *rest = x.meta["val"].shape[1:]
        fixed = all(isinstance(size, int) for size in rest)  # constants where they are: a free size is read at each run
        with graph.graph.inserting_before(node):
            # behind another mask there are N·B rows already; before the first one B, the same for all submodels
            if x in folded and fixed:
                rows = graph.graph.call_function(_aten.reshape.default, (x, [submodels, -1, channels, *rest]))
            elif x in folded:
                rows = graph.graph.call_function(_aten.unflatten.int, (x, 0, [submodels, -1]))
            else:
                rows = graph.graph.call_function(_aten.unsqueeze.default, (x, 0))
            features = masks.meta["val"].shape[1:]
            # [N, 1, C, 1, …]: a mask without spatial axes covers all places of its channel
            shape = [submodels, 1, *features, *[1] * (1 + len(rest) - len(features))]
            factors = graph.graph.call_function(_aten.reshape.default, (masks, shape))
            product = graph.graph.call_function(_aten.mul.Tensor, (rows, factors))
            if fixed:
                result = graph.graph.call_function(_aten.reshape.default, (product, [-1, channels, *rest]))
            else:
                result = graph.graph.call_function(_aten.flatten.using_ints, (product, 0, 1))
        node.replace_all_uses_with(result)
        graph.graph.erase_node(node)
        folded.update((rows, product, result))
        result.meta["val"] = x.meta["val"]
    if folded:
        output = graph.graph.output_node()
        with graph.graph.inserting_before(output):  # what no mask reaches is the same for all submodels
            output.args = torch.fx.map_arg(output.args, lambda value: _enter(graph, value, submodels, folded, expanded))
    graph.graph.lint()
    graph.recompile()
    return Folded(graph, shared, total)


def _enter(graph: GraphModule, value: Node, submodels: int, folded: set[Node], expanded: dict[Node, Node]) -> Any:
    """What replaces an argument of a folded operation."""
    meaning = value.meta.get("val")
    if value in folded:
        return value
    if counts_rows(value, meaning):  # a size that counts B rows must count N·B there
        if not _in_proportion(value):
            raise ValueError(
                f"{value.name} = {meaning} grows with the number of rows, and not in proportion: the submodels cannot "
                "share a batch"
            )
        return graph.graph.call_function(_mul, (value, submodels))
    if not isinstance(meaning, torch.Tensor) or not any(counts_rows(value, size) for size in meaning.shape):
        return value
    if value not in expanded:
        axis = _batch_axis(value)
        rest = [size for place, size in enumerate(meaning.shape) if place != axis]
        # not repeat_interleave, which is exported as a loop (pytorch issue 100438)
        inner = graph.graph.call_function(_aten.unsqueeze.default, (value, axis))
        same = [-1] * len(rest)
        wide = graph.graph.call_function(_aten.expand.default, (inner, [*same[:axis], submodels, -1, *same[axis:]]))
        if all(isinstance(size, int) for size in rest):
            sizes = [*rest[:axis], -1, *rest[axis:]]
            expanded[value] = graph.graph.call_function(_aten.reshape.default, (wide, sizes))
        else:
            expanded[value] = graph.graph.call_function(_aten.flatten.using_ints, (wide, axis, axis + 1))
    return expanded[value]


def _batch_axis(value: Node) -> int:
    """The axis of the batch; a recurrent network's hidden state has it on axis 1."""
    sizes = value.meta["val"].shape
    axes = [axis for axis, size in enumerate(sizes) if counts_rows(value, size)]
    if len(axes) != 1:
        raise ValueError(f"{value.name} carries the batch on several axes: {list(sizes)}")
    return axes[0]


def _apart(graph: GraphModule) -> set[Node]:
    """The values whose axis of the batch holds the samples in between, as [T·B, C] does that was [T, B, C]."""
    outer: dict[Node, Any] = {}
    for node in graph.graph.nodes:
        axes, given = batch_axes(node), [x for x in node.all_input_nodes if x in outer]
        if len(axes) != 1:
            continue
        # how many values of that axis lie around the samples; an operation that does not change shapes leaves them
        outer[node] = next((outer[x] for x in given if not same(outer[x], 1)), 1)
        if given and getattr(node.target, "overloadpacket", None) in SHAPES:
            (axis,) = batch_axes(given[0])
            around, here = prod(shape(given[0])[:axis]) * outer[given[0]], prod(shape(node)[: axes[0]])
            outer[node] = 1 if same(around, here) else around // here
    return {node for node, number in outer.items() if not same(number, 1)}


def _in_between(x: Node) -> str:
    return (
        f"{x.name} has the tokens of all samples in turn, {list(x.meta['val'].shape)}, where masks begin or apply: "
        "put the samples first before you flatten, as [B, T, C] to [B·T, C]"
    )


def _in_proportion(value: Node) -> bool:
    """Whether a size is k·B; what is no polynomial of B is taken for one."""
    size = value.meta["val"].node.expr
    given = next(node for node in value.graph.nodes if node.op == "placeholder")
    for rows in given.meta["val"].shape[0].node.expr.free_symbols & size.free_symbols:
        if size.is_polynomial(rows) and (size.subs(rows, 2 * rows) - 2 * size).expand() != 0:
            return False
    return True


def _mul(size: int, submodels: int) -> int:
    return size * submodels
