"""What an operation of the masked part does to channels: axis 1 of maps [B, C, …], the last axis of tokens [B, T, C].

An operation that is not known to keep channels apart has no kind: it gets and gives all channels. Where they lie
follows from the masks, which apply to axis 1, from linear layers, which work along the last one, and from transposes.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import Node

from models.export.mark import MARK
from models.export.nodes import arguments, batch_axes, carries_batch, counts_rows, has_channels, same, shape

Channels = NDArray[np.bool_]
Kind = Literal[
    "mark", "dense", "grouped", "normalise", "pointwise", "channelwise", "permute", "cat", "part", "flatten", "reshape",
]  # fmt: skip

_aten = torch.ops.aten
CONVOLUTIONS = {
    packet: packet in (_aten.conv_transpose1d, _aten.conv_transpose2d, _aten.conv_transpose3d)
    for packet in (
        _aten.conv1d, _aten.conv2d, _aten.conv3d,
        _aten.conv_transpose1d, _aten.conv_transpose2d, _aten.conv_transpose3d,
    )
}  # fmt: skip
"""Convolutions, and whether they are transposed."""
POOLING = {
    _aten.max_pool1d, _aten.max_pool2d, _aten.max_pool3d, _aten.avg_pool1d, _aten.avg_pool2d, _aten.avg_pool3d,
    _aten.adaptive_avg_pool1d, _aten.adaptive_avg_pool2d, _aten.adaptive_avg_pool3d, _aten._adaptive_avg_pool2d,
    _aten.upsample_nearest1d, _aten.upsample_nearest2d, _aten.upsample_nearest3d, _aten.upsample_linear1d,
    _aten.upsample_bilinear2d, _aten.upsample_trilinear3d, _aten.upsample_bicubic2d,
    _aten.reflection_pad1d, _aten.reflection_pad2d, _aten.reflection_pad3d, _aten.replication_pad1d,
    _aten.replication_pad2d, _aten.replication_pad3d,
}  # fmt: skip
_REDUCTIONS = {_aten.mean, _aten.sum, _aten.amax, _aten.amin}
ALONG = {*_REDUCTIONS, _aten.softmax, _aten.log_softmax, _aten.flip, _aten.slice, _aten.select}
_PADDING = {_aten.pad, _aten.constant_pad_nd}
_SIZED = {_aten.view, _aten.reshape, _aten._unsafe_view}
SHAPES = {*_SIZED, _aten.flatten, _aten.squeeze, _aten.unsqueeze, _aten.unflatten}
_SHUFFLES = {_aten.pixel_shuffle, _aten.pixel_unshuffle}
_PERMUTATIONS = {_aten.permute, _aten.transpose}
_COPIES = {_aten.clone, _aten.contiguous, _aten.alias, _aten.detach, _aten.dropout, _aten._to_copy, _aten.to}


@dataclass(frozen=True, eq=False)
class Operation:
    """A node of the masked part and what it does to channels; `kind` is None if that is not known."""

    node: Node
    constants: dict[Node, Tensor]
    axes: Mapping[Node, int | None] = field(default_factory=dict)
    """Where the channels of the values before it lie; None, or missing, if they are whole along every axis."""

    @cached_property
    def kind(self) -> Kind | None:
        return _kind(self)

    @cached_property
    def axis(self) -> int | None:
        """Where the channels of the result lie; None if it is whole along every axis."""
        if self.kind is None:
            return None
        packet = self.node.target.overloadpacket  # type: ignore[union-attr]
        if self.kind == "permute":
            return _order(self).index(self.source_axis)
        if self.kind == "channelwise" and self.reshapes:
            return _kept_axis(self)
        removes = packet is _aten.select or (packet in _REDUCTIONS and not self.argument(2, False))
        return self.source_axis - sum(dim < self.source_axis for dim in _dims(self)) if removes else self.source_axis

    @cached_property
    def source_axis(self) -> int:
        """Where the operation expects the channels of its inputs."""
        if self.node.target is _aten.linear.default:
            return len(shape(self.x)) - 1
        packet = getattr(self.node.target, "overloadpacket", None)
        joins = _is_pointwise(self.node) or packet is _aten.cat
        if not joins and packet not in {*ALONG, *_PADDING, *_PERMUTATIONS, *SHAPES}:
            return 1
        known = next((axis for node in self.inputs if (axis := self.axes.get(node)) is not None), None)
        if known is not None:
            return known
        # of inputs that are whole along every axis, any that has one size always
        given = self.node if joins else self.x
        return next((axis for axis in range(1, len(shape(given))) if _fixed(given, axis)), 1)

    @cached_property
    def channels(self) -> int:
        """How many the result has; 1 if it is whole, and axis 1 has no fixed size."""
        size = shape(self.node)[1 if self.axis is None else self.axis]
        return size if isinstance(size, int) else 1

    @property
    def x(self) -> Node:
        """The first input."""
        return self.node.all_input_nodes[0] if isinstance(self.node.args[0], list) else self.node.args[0]  # type: ignore[return-value]

    @property
    def inputs(self) -> list[Node]:
        """The inputs that carry the batch."""
        return [node for node in self.node.all_input_nodes if len(batch_axes(node)) == 1]

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
        return getattr(self.node.target, "overloadpacket", None) in SHAPES

    @property
    def sizes(self) -> bool:
        """Whether the operation is called with the sizes of its result."""
        return getattr(self.node.target, "overloadpacket", None) in _SIZED


def mask(operation: Operation, submodel: int) -> NDArray[np.float32]:
    """The factors of a submodel, [C, …]."""
    found: NDArray[np.float32] = operation.constants[operation.node.args[1]][submodel].numpy()  # type: ignore[index]
    return found


def part(operation: Operation) -> NDArray[np.int64]:
    """Which channel of its input each one of a slice along the channels is."""
    start, end, step = (operation.argument(place, default) for place, default in ((2, None), (3, None), (4, 1)))
    return np.arange(shape(operation.x)[operation.source_axis])[start:end:step]


def groups(operation: Operation) -> int:
    """How many features a channel becomes when it is flattened."""
    return operation.channels // int(shape(operation.x)[1])


def group_sizes(operation: Operation) -> tuple[int, int]:
    """How many channels each group of a grouped operation takes, and how many it gives."""
    named = arguments(operation.node)
    number = named["num_groups"] if "num_groups" in named else named["groups"]
    return int(shape(operation.x)[1]) // number, operation.channels // number


def _kind(operation: Operation) -> Kind | None:
    node = operation.node
    packet = getattr(node.target, "overloadpacket", None)
    if not has_channels(node):
        return None
    if node.target is MARK:
        return "mark" if carries_batch(node) else None
    if not operation.inputs or not all(map(has_channels, operation.inputs)):
        return None
    axis = operation.source_axis
    if any(operation.axes.get(x) not in (None, axis) or not _fixed(x, axis) for x in operation.inputs):
        return None
    if packet is _aten.cat:
        return _kind_of_cat(operation)
    if _is_pointwise(node):
        return "pointwise" if _channels_agree(operation) else None
    if len(operation.inputs) > 1 or node.args[0] is not operation.inputs[0]:
        return None
    if packet in SHAPES:
        return _kind_of_shape(operation)
    others = [x for x in node.all_input_nodes if x is not operation.x and x not in operation.constants]
    if not all(map(_is_free_size, others)):
        return None  # a weight that is computed, or a size that counts rows
    find: dict[bool, Callable[[Operation], Kind | None]] = {
        packet in CONVOLUTIONS or packet is _aten.linear: _kind_of_product,
        packet in ALONG or packet in _PADDING: _kind_along,
    }
    if True in find:
        return find[True](operation)
    if packet in _PERMUTATIONS:
        return "permute" if operation.axes.get(operation.x) is not None else None
    return _kind_of_maps(operation) if carries_batch(operation.x) else None


def _kind_of_maps(operation: Operation) -> Kind | None:
    """Operations that know no other axis of the channels than axis 1."""
    packet = operation.node.target.overloadpacket  # type: ignore[union-attr]
    rank = len(shape(operation.x))
    # argument 5 is `training`: with statistics of the batch, rows are mixed
    if packet in (_aten.prelu, _aten.instance_norm) or (packet is _aten.batch_norm and not operation.argument(5)):
        return "normalise"
    if packet in POOLING:  # with one axis less it is taken for a single sample, whose channels are on axis 0
        spatial = int(re.findall(r"([123])d", packet.__name__)[0])
        whole = rank == spatial + 2 and shape(operation.x)[1] == shape(operation.node)[1]
        return "channelwise" if whole else None
    if packet is _aten.group_norm:
        return "grouped"
    if packet in _SHUFFLES and rank == len(shape(operation.node)) == 4:  # of less, axis 0 holds the channels
        return "reshape" if packet is _aten.pixel_shuffle else "flatten"
    return None


def _kind_of_cat(operation: Operation) -> Kind | None:
    if any(len(batch_axes(x)) != 1 for x in operation.node.args[0]):  # type: ignore[arg-type, union-attr]
        return None
    dim = operation.argument(1, 0) % len(shape(operation.node))
    if dim == operation.source_axis:
        return "cat"
    return "pointwise" if dim not in batch_axes(operation.node) and _channels_agree(operation) else None


def _kind_of_product(operation: Operation) -> Kind | None:
    if len(shape(operation.x)) != len(shape(operation.node)):
        return None
    if operation.node.target is _aten.linear.default:
        return "dense"
    if not carries_batch(operation.x):
        return None
    return "dense" if arguments(operation.node).get("groups", 1) == 1 else "grouped"


def _kind_along(operation: Operation) -> Kind | None:
    """Operations along axes other than the batch's and the channels' keep channels apart."""
    rank, axis, batch = len(shape(operation.x)), operation.source_axis, batch_axes(operation.x)
    if operation.node.target.overloadpacket in _PADDING:  # type: ignore[union-attr]
        # two numbers an axis, from the last one backwards
        pads: Any = operation.node.args[1]
        dims = [
            rank - 1 - place // 2 for place, number in enumerate(pads) if not (isinstance(number, int) and number == 0)
        ]
        return "channelwise" if not {axis, *batch}.intersection(dims) else None
    dims = _dims(operation)
    if operation.node.target is _aten.slice.Tensor:
        # x[:, :, 1:] begins with a slice of all rows
        if dims == batch and all(map(same, shape(operation.x), shape(operation.node))):
            return "channelwise"
        if dims == [axis]:
            return "part" if all(not isinstance(end, Node) for end in operation.node.args[2:]) else None
    return "channelwise" if dims and not {axis, *batch}.intersection(dims) else None


def _dims(operation: Operation) -> list[int]:
    """The axes that an operation works along."""
    dims = operation.argument(1, 0) if operation.node.target is _aten.slice.Tensor else operation.argument(1)
    rank = len(shape(operation.x))
    return [dim % rank for dim in ([dims] if isinstance(dims, int) else dims or [])]


def _order(operation: Operation) -> list[int]:
    """Where each axis of a permutation's result comes from."""
    rank = len(shape(operation.x))
    if operation.node.target is _aten.permute.default:
        return [dim % rank for dim in operation.argument(1)]
    order = list(range(rank))
    first, second = operation.argument(1) % rank, operation.argument(2) % rank
    order[first], order[second] = order[second], order[first]
    return order


def _kind_of_shape(operation: Operation) -> Kind | None:
    x, node = operation.x, operation.node
    free = not all(isinstance(size, int) for axis, size in enumerate(shape(node)) if axis not in batch_axes(node))
    squeezes = node.target.overloadpacket is _aten.squeeze  # type: ignore[union-attr]
    # where a submodel has one channel alone, its axis would be squeezed, too
    if squeezes and free and (node.target is _aten.squeeze.default or operation.source_axis in _dims(operation)):
        return None
    kept, before, after = _kept_axis(operation), shape(x)[1:], shape(node)[1:]
    rows = carries_batch(x) and carries_batch(node) and same(shape(x)[0], shape(node)[0])
    if kept != 1 and rows and operation.source_axis == 1 and not free and same(prod(before), prod(after)):
        if len(after) == 1:
            return "flatten"
        if len(before) == 1:
            return "reshape"
    return None if kept is None else "channelwise"


def _kept_axis(operation: Operation) -> int | None:
    """Where a change of shape moves the channels' axis to, if it leaves that axis alone."""
    before, after, axis = shape(operation.x), shape(operation.node), operation.source_axis
    for place, size in enumerate(after):
        outer = same(prod(after[:place]), prod(before[:axis]))
        if outer and same(size, before[axis]) and same(prod(after[place + 1 :]), prod(before[axis + 1 :])):
            return place
    return None


def _fixed(node: Node, axis: int) -> bool:
    """Whether a value has an axis that is not the batch's, of one size always."""
    sizes = shape(node)
    return axis < len(sizes) and isinstance(sizes[axis], int)


def _is_free_size(node: Node) -> bool:
    """Whether a value is a size of a free axis, or computed from some, and not from the number of rows."""
    value = node.meta["val"]
    return not isinstance(value, Tensor) and not counts_rows(node, value)


def _is_pointwise(node: Node) -> bool:
    tags = getattr(node.target, "tags", ())
    return torch.Tag.pointwise in tags or getattr(node.target, "overloadpacket", None) in _COPIES


def _channels_agree(operation: Operation) -> bool:
    """Whether a pointwise operation meets the same channel in all of its inputs, or one value for all channels."""
    rank, axis = len(shape(operation.node)), operation.source_axis
    wanted = (1, shape(operation.node)[axis])
    for node in operation.node.all_input_nodes:
        if node in operation.constants or _is_free_size(node):
            continue
        if not isinstance(node.meta["val"], Tensor):
            return False
        sizes, batch = shape(node), batch_axes(node)
        place = axis + len(sizes) - rank
        if len(batch) > 1 or (batch and len(sizes) != rank):
            return False
        if place >= 0 and not (isinstance(sizes[place], int) and sizes[place] in wanted):
            return False
    return isinstance(wanted[1], int)
