"""Finds operations that mix the rows of a batch: such a network can neither be folded nor answer one row at a time."""

import operator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.node import map_aggregate

from models.export.nodes import carries_batch
from models.given import Tensors, each


def check_independence(graph: GraphModule, rows: Tensors) -> None:
    """Runs a traced graph on several rows and on the first row alone, and compares every value.

    Raises:
        ValueError: a row's value depends on the other rows; the message names the operation.
    """
    with torch.no_grad():
        pairs = (_Pair(one, one[:1]) for one in each(rows))
        _Both(graph).run(*pairs, enable_io_processing=False)  # there is no result, and it needs no packing


@dataclass(frozen=True)
class _Pair:
    """The same value for all rows and for the first row alone."""

    all: Any
    alone: Any


class _Both(Interpreter):
    def __init__(self, graph: GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False  # torch.fx would append a stack trace to our message

    def run_node(self, node: Node) -> Any:
        if node.op == "output":
            return None
        result = super().run_node(node)
        if not isinstance(result, _Pair):
            return _Pair(result, result)
        if isinstance(result.all, Tensor) and _differs(node, result):
            # an operation with several results is followed by a getitem for each
            source = node.all_input_nodes[0] if node.target is operator.getitem else node
            raise ValueError(
                f"the network mixes the rows of a batch: in {source.name} ({source.target}) the answer for one row "
                "depends on the others, so submodels cannot share a batch"
            )
        return result

    def call_function(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Pair:
        def one_side(side: str) -> Any:
            picked = map_aggregate((args, kwargs), lambda x: getattr(x, side) if isinstance(x, _Pair) else x)
            return target(*picked[0], **picked[1])

        return _Pair(one_side("all"), one_side("alone"))


def _differs(node: Node, pair: _Pair) -> bool:
    together, alone = pair.all, pair.alone
    if carries_batch(node):
        together = together[:1]
    if together.shape != alone.shape:  # the batch on another axis: for the fold to judge
        return False
    together, alone = together.double(), alone.double()
    # an attention mask holds −∞, which would make the tolerance infinite
    finite = alone[alone.isfinite()].abs()
    # other sizes of a batch take other kernels, which round otherwise; mixing rows changes far more than that
    atol = 1e-4 * float(finite.max() if finite.numel() else 0)
    return not torch.allclose(together, alone, rtol=1e-3, atol=atol, equal_nan=True)
