"""Which channels of each value a submodel needs, so that no others are computed for it.

Two passes over the traced graph for each submodel: forward, which channels may be
non-zero after the masks (`alive`); backward, which of them reach the output (`needed`). All others are dropped. This
is exact, not an approximation, since a dropped channel is zero or unused.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Node

from models.export.nodes import has_channels, masked_part, shape
from models.export.operation import Channels, Operation, group_sizes, groups, mask, part
from models.export.zeros import at_zero

_aten = torch.ops.aten


@dataclass(frozen=True)
class ChannelPlan:
    """For each operation of the masked part, and each submodel, the channels to store, in ascending order."""

    operations: dict[Node, Operation]
    stored: dict[Node, list[NDArray[np.int64]]]

    def axis(self, node: Node) -> int | None:
        """Where the channels of a value lie; None if it is whole along every axis."""
        return self.operations[node].axis if node in self.operations else None

    def restored(self) -> list[Node]:
        """The operations of no kind for whose sake dropped channels are put back as zeros."""
        return [
            node
            for node, operation in self.operations.items()
            if operation.kind is None
            and node.target is not _aten.sym_size.int
            and any(map(self._narrow, node.all_input_nodes))
        ]

    def _narrow(self, node: Node) -> bool:
        return node in self.stored and any(len(kept) < self.operations[node].channels for kept in self.stored[node])


def analyse(graph: GraphModule, known: dict[Node, Tensor], submodels: int, align: int) -> ChannelPlan:
    """Works out what to store; values before the first mask are shared, and whole.

    Args:
        graph: traced, not folded.
        known: its constants.
        submodels: N.
        align: the number of stored channels is rounded up to a multiple of this, if enough others are alive.
    """
    inside = masked_part(graph)
    operations: dict[Node, Operation] = {}
    axes: dict[Node, int | None] = {}
    for node in graph.graph.nodes:
        if node in inside:
            operations[node] = Operation(node, known, axes)
            axes[node] = operations[node].axis
    tensors = {node: operation for node, operation in operations.items() if has_channels(node)}
    stored: dict[Node, list[NDArray[np.int64]]] = {node: [] for node in tensors}
    for index in range(submodels):
        alive = _forward(tensors, index)
        needed = _backward(graph, tensors, alive, index, align)
        for node, operation in tensors.items():
            keep = needed[node] & alive[node]
            # a mask may leave a branch nothing, and no runtime runs on zero channels
            if not keep.any():
                keep = np.arange(operation.channels) == 0  # no tensor is empty
            if operation.kind is None:
                keep = np.ones(operation.channels, dtype=np.bool_)  # it gives all of them, whoever needs them
            if operation.kind in ("flatten", "grouped"):
                size = groups(operation) if operation.kind == "flatten" else group_sizes(operation)[1]
                keep = _in_groups(keep, size, size)
            stored[node].append(np.flatnonzero(keep))
    return ChannelPlan(operations, stored)


def _in_groups(channels: Channels, size: int, times: int) -> Channels:
    """Whether any channel of each group of a size is set, for groups that are `times` as large as a channel."""
    return channels.reshape(-1, size).any(axis=1).repeat(times)


def _forward(tensors: dict[Node, Operation], submodel: int) -> dict[Node, Channels]:
    alive: dict[Node, Channels] = {}

    for node, operation in tensors.items():

        def of(node: Node, axis: int = operation.source_axis) -> Channels:
            if node in alive and tensors[node].axis == axis:
                return alive[node]
            return np.ones(shape(node)[axis], dtype=np.bool_)  # shared, or whole

        match operation.kind:
            case "mark":
                factors = mask(operation, submodel)
                found = of(operation.x) & (factors != 0).reshape(len(factors), -1).any(axis=1)
            case "permute":
                found = of(operation.x)
            case "normalise" | "channelwise":
                # a dropped channel comes back: batch norm and a bias add their shift to its zeros
                found = of(operation.x) | at_zero(operation)
            case "grouped":
                found = _in_groups(of(operation.x), *group_sizes(operation)) | at_zero(operation)
            case "pointwise":
                sides = [np.broadcast_to(of(side), (operation.channels,)) for side in operation.inputs]
                # a product is zero where either side is; a sum needs both
                if node.target is _aten.mul.Tensor:
                    found = np.logical_and.reduce(sides)
                else:
                    found = np.logical_or.reduce(sides) | at_zero(operation)
            case "cat":
                found = np.concatenate([of(x) for x in node.args[0]])  # type: ignore[union-attr, arg-type]
            case "part":
                found = of(operation.x)[part(operation)]
            case "flatten":
                found = of(operation.x).repeat(groups(operation))
            case "reshape":
                found = of(operation.x).reshape(operation.channels, -1).any(axis=1)
            case _:
                found = np.ones(operation.channels, dtype=np.bool_)
        alive[node] = found
    return alive


def _backward(
    graph: GraphModule, tensors: dict[Node, Operation], alive: dict[Node, Channels], submodel: int, align: int
) -> dict[Node, Channels]:
    needed = {node: np.zeros(operation.channels, dtype=np.bool_) for node, operation in tensors.items()}

    def need(node: Any, channels: Any, axis: int | None = None) -> None:
        if node in needed:
            if axis is not None and tensors[node].axis != axis:
                channels = True  # whole, or asked for along another axis than that of its channels
            elif len(needed[node]) == 1:  # broadcast along the channels
                channels = np.any(channels)
            needed[node] |= channels

    for node in reversed(graph.graph.nodes):
        operation = tensors.get(node)
        if operation is None:
            if node.target is not _aten.sym_size.int:  # reads the batch size, and no channel
                for x in node.all_input_nodes:
                    need(x, True)
            continue
        wanted, axis = _round_up(needed[node], alive[node], align), operation.source_axis
        needed[node] = wanted
        match operation.kind:
            case "mark":
                factors = mask(operation, submodel)
                need(operation.x, wanted & (factors != 0).reshape(len(factors), -1).any(axis=1), axis)
            case "normalise" | "channelwise" | "permute":
                need(operation.x, wanted, axis)
            case "grouped":
                size, given = group_sizes(operation)
                need(operation.x, _in_groups(wanted, given, size), axis)
            case "pointwise":
                for side in operation.inputs:
                    need(side, wanted & alive[node], axis)
            case "cat":
                first = 0
                for x in node.args[0]:
                    width = shape(x)[axis]
                    need(x, wanted[first : first + width], axis)
                    first += width
            case "part":
                taken = np.zeros(shape(operation.x)[axis], dtype=np.bool_)
                taken[part(operation)] = wanted
                need(operation.x, taken, axis)
            case "flatten":
                need(operation.x, wanted.reshape(-1, groups(operation)).any(axis=1), axis)
            case "reshape":
                need(operation.x, wanted.repeat(shape(operation.x)[1] // operation.channels), axis)
            case _:
                for x in operation.inputs:
                    need(x, True)
    return needed


def _round_up(needed: Channels, alive: Channels, align: int) -> Channels:
    count = int((needed & alive).sum())
    # a channel more costs less than an unaligned convolution (see `models.export.cost`)
    missing = -count % align
    spare = np.flatnonzero(alive & ~needed)
    if count == 0 or len(spare) < missing:
        return needed
    needed = needed.copy()
    needed[spare[:missing]] = True
    return needed
