"""Writes a graph of operations and constants in which nothing stands twice."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node

_aten = torch.ops.aten


class Emitter:
    """Writes the new graph. The same operation on the same values is written once, so submodels share it."""

    def __init__(self, known: dict[Node, Tensor]) -> None:
        self.graph = Graph()
        self.root = nn.Module()
        self.known = known
        self.shared: dict[Node, Any] = {}
        self._calls: dict[Any, Node] = {}
        self._constants: dict[Any, list[tuple[Tensor, Node]]] = {}

    def call(self, target: Any, *args: Any, **kwargs: Any) -> Node:
        # what submodels compute alike is written once: at scale 1 all branches become one
        key = (target, _hashable(args), _hashable(kwargs))
        if key not in self._calls:
            self._calls[key] = self.graph.call_function(target, args, kwargs)
        return self._calls[key]

    def constant(self, value: Tensor) -> Node:
        # equal slices of a weight are stored once in the file, too
        value = value.detach().contiguous()
        equals = self._constants.setdefault((value.dtype, value.shape, hash(value.numpy().tobytes())), [])
        for other, node in equals:
            if torch.equal(other, value):  # equal hashes do not prove it
                return node
        name = f"constant_{len(list(self.root.buffers()))}"
        self.root.register_buffer(name, value)
        equals.append((value, self.graph.get_attr(name)))
        return equals[-1][1]

    def copy(self, node: Node, values: dict[Node, Any], into: dict[Node, Any]) -> None:
        args, kwargs = torch.fx.map_arg(
            (node.args, node.kwargs), lambda x: self.constant(self.known[x]) if x in self.known else values[x]
        )
        into[node] = self.call(node.target, *args, **kwargs)

    def finish(self, rows: Sequence[Sequence[Node]]) -> GraphModule:
        """The graph whose outputs are those of each set of submodels, one set after the other."""
        whole = [part[0] if len(part) == 1 else self.call(_aten.cat.default, list(part), 0) for part in zip(*rows)]
        self.graph.output(whole[0] if len(whole) == 1 else tuple(whole))
        module = GraphModule(self.root, self.graph)
        # a value may have been selected for an operation that needed none of it
        module.graph.eliminate_dead_code()
        module.graph.lint()
        module.recompile()
        return module


def _hashable(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, dict):
        return tuple((key, _hashable(item)) for key, item in value.items())
    return (type(value), value)  # 1, 1.0 and True are equal, and hash alike
