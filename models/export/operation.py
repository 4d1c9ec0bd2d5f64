"""What an operation of the masked part does to channels, axis 1 of [B, C, …].

An operation that is not known to keep channels apart has no kind: it gets and gives all channels.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from models.export.mark import MARK
from models.export.nodes import arguments, carries_batch, has_channels, shape

Channels = NDArray[np.bool_]
Kind = Literal["mark", "dense", "depthwise", "normalise", "pointwise", "channelwise", "cat", "flatten", "reshape"]

_aten = torch.ops.aten
CONVOLUTIONS = {
    packet: packet in (_aten.conv_transpose1d, _aten.conv_transpose2d, _aten.conv_transpose3d)
    for packet in (
        _aten.conv1d, _aten.conv2d, _aten.conv3d,
        _aten.conv_transpose1d, _aten.conv_transpose2d, _aten.conv_transpose3d,
    )
}  # fmt: skip
"""Convolutions, and whether they are transposed."""
_POOLING = {
    _aten.max_pool1d, _aten.max_pool2d, _aten.max_pool3d, _aten.avg_pool1d, _aten.avg_pool2d, _aten.avg_pool3d,
    _aten.adaptive_avg_pool1d, _aten.adaptive_avg_pool2d, _aten.adaptive_avg_pool3d, _aten._adaptive_avg_pool2d,
    _aten.upsample_nearest1d, _aten.upsample_nearest2d, _aten.upsample_nearest3d, _aten.upsample_linear1d,
    _aten.upsample_bilinear2d, _aten.upsample_trilinear3d, _aten.upsample_bicubic2d,
    _aten.reflection_pad1d, _aten.reflection_pad2d, _aten.reflection_pad3d, _aten.replication_pad1d,
    _aten.replication_pad2d, _aten.replication_pad3d,
}  # fmt: skip
_ALONG = {_aten.mean, _aten.sum, _aten.amax, _aten.amin, _aten.softmax, _aten.log_softmax, _aten.flip, _aten.slice}
_PADDING = {_aten.pad, _aten.constant_pad_nd}
_SHAPES = {
    _aten.view, _aten.reshape, _aten._unsafe_view, _aten.flatten, _aten.squeeze, _aten.unsqueeze, _aten.unflatten,
}  # fmt: skip
_COPIES = {_aten.clone, _aten.contiguous, _aten.alias, _aten.detach, _aten.dropout, _aten._to_copy, _aten.to}


@dataclass(frozen=True, eq=False)
class Operation:
    """A node of the masked part and what it does to channels; `kind` is None if that is not known."""

    node: Node
    constants: dict[Node, Tensor]

    @cached_property
    def kind(self) -> Kind | None:
        return _kind(self)

    @cached_property
    def channels(self) -> int:
        """The size of axis 1."""
        return int(shape(self.node)[1])

    @property
    def x(self) -> Node:
        """The first input."""
        return self.node.all_input_nodes[0] if isinstance(self.node.args[0], list) else self.node.args[0]  # type: ignore[return-value]

    @property
    def inputs(self) -> list[Node]:
        """The inputs that carry the batch."""
        return [node for node in self.node.all_input_nodes if carries_batch(node)]

    def argument(self, index: int, default: Any = None) -> Any:
        return self.node.args[index] if index < len(self.node.args) else default

    def constant(self, index: int) -> Tensor | None:
        """An argument that is a weight."""
        value = self.argument(index)
        return None if value is None else self.constants[value]

    @property
    def weight(self) -> Tensor:
        """That of a convolution or linear layer."""
        return self.constants[self.node.args[1]]  # type: ignore[index]

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of a convolution other than its tensors, by name."""
        tensors = ("input", "weight", "bias")
        return {name: value for name, value in arguments(self.node).items() if name not in tensors}

    @cached_property
    def transposed(self) -> bool:
        return CONVOLUTIONS.get(self.node.target.overloadpacket, False)  # type: ignore[union-attr]

    @property
    def reshapes(self) -> bool:
        """Whether the operation only rearranges values."""
        return getattr(self.node.target, "overloadpacket", None) in _SHAPES

    @cached_property
    def at_zero(self) -> Channels:
        """Which channels of the output may be non-zero if all inputs are zero."""
        if self.kind not in ("normalise", "pointwise", "channelwise", "depthwise"):
            return np.ones(self.channels, dtype=np.bool_)
        if self.reshapes:
            return np.zeros(self.channels, dtype=np.bool_)

        def zeros(node: Node) -> Tensor:
            if node in self.constants:
                return self.constants[node]
            return torch.zeros(1, *shape(node)[1:], dtype=node.meta["val"].dtype)

        # run on zeros rather than known by heart: sigmoid gives 0.5 there, a batch norm its shift
        args, kwargs = torch.fx.map_arg((self.node.args, self.node.kwargs), zeros)
        result = self.node.target(*args, **kwargs)  # type: ignore[operator]
        other = (result != 0).transpose(0, 1).flatten(1).any(dim=1)
        return np.broadcast_to(other.numpy(), (self.channels,))


def mask(operation: Operation, submodel: int) -> NDArray[np.float32]:
    """The factors of a submodel, [C, …]."""
    found: NDArray[np.float32] = operation.constants[operation.node.args[1]][submodel].numpy()  # type: ignore[index]
    return found


def groups(operation: Operation) -> int:
    """How many features a channel becomes when it is flattened."""
    return operation.channels // int(shape(operation.x)[1])


def _kind(operation: Operation) -> Kind | None:
    node = operation.node
    packet = getattr(node.target, "overloadpacket", None)
    if not has_channels(node):
        return None
    if node.target is MARK:
        return "mark"
    if packet is _aten.cat:
        dim = operation.argument(1, 0) % node.meta["val"].ndim
        return "cat" if dim == 1 and all(map(carries_batch, node.args[0])) else None  # type: ignore[arg-type]
    if not operation.inputs or not all(map(has_channels, operation.inputs)):
        return None
    if torch.Tag.pointwise in getattr(node.target, "tags", ()) or packet in _COPIES:
        return "pointwise" if _channels_agree(operation) else None
    if len(operation.inputs) > 1 or node.args[0] is not operation.inputs[0]:
        return None
    find: dict[bool, Callable[[Operation], Kind | None]] = {
        packet in CONVOLUTIONS or packet is _aten.linear: _kind_of_product,
        packet in _ALONG or packet in _PADDING: _kind_along,
        packet in _SHAPES: _kind_of_shape,
    }
    if True in find:
        return find[True](operation)
    # argument 5 is `training`: with statistics of the batch, rows are mixed
    if packet is _aten.prelu or (packet is _aten.batch_norm and not operation.argument(5)):
        return "normalise" if all(x in operation.constants for x in node.all_input_nodes[1:]) else None
    if packet in _POOLING:  # with one axis less it is taken for a single sample, whose channels are on axis 0
        spatial = int(re.findall(r"([123])d", packet.__name__)[0])
        whole = len(shape(operation.x)) == spatial + 2 and shape(operation.x)[1] == operation.channels
        return "channelwise" if whole else None
    return None


def _kind_of_product(operation: Operation) -> Kind | None:
    if any(value is not None and value not in operation.constants for value in operation.node.args[1:3]):
        return None
    if operation.node.target is _aten.linear.default:
        # with more axes, a linear layer works along the last one, not along the channels
        return "dense" if len(shape(operation.x)) == 2 else None
    if len(shape(operation.x)) != len(shape(operation.node)):
        return None
    # `groups`; a grouped convolution that is not depthwise runs whole
    number = operation.argument(6, 1)
    if number == 1:
        return "dense"
    return "depthwise" if number == shape(operation.x)[1] == operation.channels and not operation.transposed else None


def _kind_along(operation: Operation) -> Kind | None:
    """Operations along axes other than the batch's and the channels' keep channels apart."""
    rank = len(shape(operation.x))
    if operation.node.target.overloadpacket in _PADDING:  # type: ignore[union-attr]
        # two numbers an axis, from the last one backwards
        return "channelwise" if len(operation.node.args[1]) <= 2 * (rank - 2) else None  # type: ignore[arg-type]
    dims = operation.argument(1)
    if isinstance(dims, int):
        # x[:, :, 1:] begins with a slice of all rows
        if dims == 0 and operation.node.target is _aten.slice.Tensor and shape(operation.x) == shape(operation.node):
            return "channelwise"
        dims = [dims]
    return "channelwise" if dims and all(dim % rank >= 2 for dim in dims) else None


def _kind_of_shape(operation: Operation) -> Kind | None:
    before, after = shape(operation.x)[1:], shape(operation.node)[1:]
    if prod(before) != prod(after):
        return None
    if before[0] == after[0]:
        return "channelwise" if prod(before[1:]) == prod(after[1:]) else None
    if len(after) == 1:
        return "flatten"
    return "reshape" if len(before) == 1 else None


def _channels_agree(operation: Operation) -> bool:
    """Whether a pointwise operation meets the same channel in all of its inputs, or one value for all channels."""
    rank, channels = len(shape(operation.node)), operation.channels
    for node in operation.node.all_input_nodes:
        if carries_batch(node):
            if len(shape(node)) != rank or shape(node)[1] not in (1, channels):
                return False
        elif node not in operation.constants:
            return False
    return True
