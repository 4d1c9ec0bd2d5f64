"""The body of a graph in float16, its last layer and what follows in float32."""

import operator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Interpreter, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

from models.export.nodes import arguments, attribute, copied
from models.export.operation import CONVOLUTIONS
from models.given import Tensors, each

_aten = torch.ops.aten
_PRODUCTS = {
    *CONVOLUTIONS, _aten.linear, _aten.bmm, _aten.matmul, _aten.addmm, _aten.mm,
    torch.ops.masksembles.gru, torch.ops.masksembles.lstm,
}  # fmt: skip


def to_float16(body: GraphModule, example: Tensors) -> GraphModule:
    """The graph in float16, except for its last convolutions or products and all that follows.

    `example` is an input [B, …] of it, or all of them in order.

    Batch norm is folded into the convolution before it first, so that no running variance is rounded.

    Raises:
        ValueError: nothing comes before the last layer.
    """
    graph = copied(body)
    # float16 ends at 65504, and a running variance may lie beyond
    _fold_batch_norm(graph)
    # the last layer stays: float16 logits alone move an entropy by up to 9e-4 nats (K = 10, standard deviation 2)
    inside = _before_last_product(graph)
    if not any(_packet(node) in _PRODUCTS for node in inside):
        raise ValueError("precision: there is only one layer, and the last one stays in float32")
    floats = _floats(graph, example)
    inside = {node for node in inside if floats.intersection(node.all_input_nodes)}  # not zeros(B, 3) and the like
    inside.update(*(_results(node) for node in list(inside)))
    cast: dict[tuple[Node, torch.dtype], Node] = {}

    def as_type(value: Node, dtype: torch.dtype) -> Node:
        held = attribute(graph, value) if value.op == "get_attr" else None
        as_it_is = torch.float16 if value in inside else torch.float32
        if dtype == as_it_is or value not in floats:
            return value
        if (value, dtype) not in cast:
            with graph.graph.inserting_after(value):
                if held is None:
                    narrow = graph.graph.call_function(_aten._to_copy.default, (value,), {"dtype": dtype})
                else:
                    # weights are cast here, not by the graph: that halves the file
                    graph.register_buffer(f"float16_{len(cast)}", held.to(dtype))
                    narrow = graph.graph.get_attr(f"float16_{len(cast)}")
            cast[value, dtype] = narrow
        return cast[value, dtype]

    for node in list(graph.graph.nodes):
        if node.op in ("call_function", "output"):
            wanted = torch.float16 if node in inside else torch.float32
            # an operation that names its dtype would go back to float32
            if node in inside and node.kwargs.get("dtype") == torch.float32:
                node.kwargs = {**node.kwargs, "dtype": torch.float16}
            node.args, node.kwargs = torch.fx.map_arg((node.args, node.kwargs), partial(as_type, dtype=wanted))
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.graph.lint()
    graph.recompile()
    return graph


def _results(node: Node) -> list[Node]:
    """What an operation with several results gives, whoever needs it."""
    return [user for user in node.users if user.target is operator.getitem]


def _before_last_product(graph: GraphModule) -> set[Node]:
    """The operations that a later convolution or product depends on."""
    body: set[Node] = set()
    for node in reversed(graph.graph.nodes):
        if _packet(node) in _PRODUCTS or node in body:
            body.update(x for x in node.all_input_nodes if x.op == "call_function")
    return body


def _fold_batch_norm(graph: GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if _packet(node) is not _aten.batch_norm:
            continue
        convolution = node.args[0]
        # with another user, its result is also needed as it was before the batch norm
        if _packet(convolution) not in CONVOLUTIONS or len(convolution.users) > 1:
            continue
        grouped = arguments(convolution).get("groups", 1) != 1
        if grouped and CONVOLUTIONS[_packet(convolution)]:  # the fusion expects another layout of its weights
            continue
        parameters = [node.args[index] for index in (1, 2, 3, 4)]
        bias = convolution.args[2] if len(convolution.args) > 2 else None
        given = [convolution.args[1], *([bias] if bias is not None else []), *(x for x in parameters if x is not None)]
        if any(not isinstance(x, Node) or x.op != "get_attr" for x in given):
            continue
        weight, shift, mean, variance = (None if x is None else attribute(graph, x).double() for x in parameters)
        if mean is None or variance is None:  # statistics of the batch
            continue
        # in float64, so that weights are rounded once
        fused = fuse_conv_bn_weights(
            attribute(graph, convolution.args[1]).double(),
            None if bias is None else attribute(graph, bias).double(),
            mean,
            variance,
            node.args[7],
            torch.ones_like(mean) if weight is None else weight,
            torch.zeros_like(mean) if shift is None else shift,
            transpose=CONVOLUTIONS[_packet(convolution)],
        )
        with graph.graph.inserting_before(convolution):
            constants = []
            for name, value in zip((f"{convolution.name}_weight_fused", f"{convolution.name}_bias_fused"), fused):
                graph.register_buffer(name, value.detach().float())
                constants.append(graph.graph.get_attr(name))
        convolution.args = (convolution.args[0], *constants, *convolution.args[3:])
        node.replace_all_uses_with(convolution)
        graph.graph.erase_node(node)


def _packet(node: Any) -> Any:
    return getattr(node.target, "overloadpacket", None)


def _floats(graph: GraphModule, example: Tensors) -> set[Node]:
    """The nodes whose values are tensors of float32."""
    found: set[Node] = set()

    class Types(Interpreter):
        def run_node(self, node: Node) -> Any:
            value = super().run_node(node)
            if isinstance(value, Tensor) and value.dtype == torch.float32:
                found.add(node)
            return value

    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        Types(graph).run(*map(mode.from_tensor, each(example)))
    return found
