"""Which channels of an operation's result may not be zero although all of its inputs are: dropped channels come back
there."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from models.export.nodes import shape
from models.export.operation import ALONG, POOLING, Channels, Operation

_aten = torch.ops.aten
_KINDS = ("normalise", "pointwise", "channelwise", "grouped")
_LEAVE_ZERO = {*POOLING, *ALONG, _aten.mul, _aten.div} - {_aten.softmax, _aten.log_softmax}
"""What gives zeros for zeros at every size that it is called with."""


def at_zero(operation: Operation) -> Channels:
    """Which channels of the result may be non-zero if all inputs are zero."""
    if operation.kind not in _KINDS:
        return np.ones(operation.channels, dtype=np.bool_)
    if operation.reshapes:
        return np.zeros(operation.channels, dtype=np.bool_)
    node, inputs = operation.node, operation.inputs
    others = [x for x in node.all_input_nodes if x not in operation.constants and x not in inputs]
    packet = node.target.overloadpacket  # type: ignore[union-attr]
    # a tensor of which nothing is known here; or a size, which may pad nothing in the example and something elsewhere
    if any(isinstance(x.meta["val"], Tensor) for x in others) or (others and packet not in _LEAVE_ZERO):
        return np.ones(operation.channels, dtype=np.bool_)

    def zeros(x: Node) -> Any:
        if x in operation.constants:
            return operation.constants[x]
        value = x.meta["val"]
        if not isinstance(value, Tensor):
            return _in_example(value)
        return torch.zeros(*map(_in_example, shape(x)), dtype=value.dtype)

    # run on zeros rather than known by heart: sigmoid gives 0.5 there, a batch norm its shift
    args, kwargs = torch.fx.map_arg((node.args, node.kwargs), zeros)
    result = node.target(*args, **kwargs)  # type: ignore[operator]
    other = (result != 0).transpose(0, operation.axis).flatten(1).any(dim=1)
    return np.broadcast_to(other.numpy(), (operation.channels,))


def _in_example(size: Any) -> Any:
    """A free size, or what is computed from it, as it is in the example."""
    return size.node.hint if hasattr(size, "node") else size
