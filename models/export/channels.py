"""Which channels of each value a submodel needs, so that no others are computed for it.

Channels are axis 1 of [B, C, …]. Two passes over the traced graph for each submodel: forward, which channels may be
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
from models.export.operation import Channels, Operation, groups, mask

_aten = torch.ops.aten


@dataclass(frozen=True)
class ChannelPlan:
    """For each operation of the masked part, and each submodel, the channels to store, in ascending order."""

    operations: dict[Node, Operation]
    stored: dict[Node, list[NDArray[np.int64]]]


def analyse(graph: GraphModule, known: dict[Node, Tensor], submodels: int, align: int) -> ChannelPlan:
    """Works out what to store; values before the first mask are shared, and whole.

    Args:
        graph: traced, not folded.
        known: its constants.
        submodels: N.
        align: the number of stored channels is rounded up to a multiple of this, if enough others are alive.
    """
    inside = masked_part(graph)
    operations = {node: Operation(node, known) for node in graph.graph.nodes if node in inside}
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
            if operation.kind == "flatten":
                keep = _whole_groups(operation, keep)
            stored[node].append(np.flatnonzero(keep))
    return ChannelPlan(operations, stored)


def _whole_groups(operation: Operation, keep: Channels) -> Channels:
    return keep.reshape(-1, groups(operation)).any(axis=1).repeat(groups(operation))


def _forward(tensors: dict[Node, Operation], submodel: int) -> dict[Node, Channels]:
    alive: dict[Node, Channels] = {}

    def of(node: Node) -> Channels:
        return alive[node] if node in alive else np.ones(shape(node)[1], dtype=np.bool_)

    for node, operation in tensors.items():
        match operation.kind:
            case "mark":
                factors = mask(operation, submodel)
                found = of(operation.x) & (factors != 0).reshape(len(factors), -1).any(axis=1)
            case "normalise" | "channelwise" | "depthwise":
                # a dropped channel comes back: batch norm and a bias add their shift to its zeros
                found = of(operation.x) | operation.at_zero
            case "pointwise":
                sides = [np.broadcast_to(of(side), (operation.channels,)) for side in operation.inputs]
                # a product is zero where either side is; a sum needs both
                if node.target is _aten.mul.Tensor:
                    found = np.logical_and.reduce(sides)
                else:
                    found = np.logical_or.reduce(sides) | operation.at_zero
            case "cat":
                found = np.concatenate([of(part) for part in node.args[0]])  # type: ignore[union-attr, arg-type]
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

    def need(node: Any, channels: Any) -> None:
        if node in needed:
            if len(needed[node]) == 1:  # broadcast along the channels
                channels = np.any(channels)
            needed[node] |= channels

    for node in reversed(graph.graph.nodes):
        operation = tensors.get(node)
        if operation is None:
            if node.target is not _aten.sym_size.int:  # reads the batch size, and no channel
                for part in node.all_input_nodes:
                    need(part, True)
            continue
        wanted = needed[node] = _round_up(needed[node], alive[node], align)
        match operation.kind:
            case "mark":
                factors = mask(operation, submodel)
                need(operation.x, wanted & (factors != 0).reshape(len(factors), -1).any(axis=1))
            case "normalise" | "channelwise" | "depthwise":
                need(operation.x, wanted)
            case "pointwise":
                for side in operation.inputs:
                    need(side, wanted & alive[node])
            case "cat":
                first = 0
                for part in node.args[0]:
                    size = shape(part)[1]
                    need(part, wanted[first : first + size])
                    first += size
            case "flatten":
                need(operation.x, wanted.reshape(-1, groups(operation)).any(axis=1))
            case "reshape":
                need(operation.x, wanted.repeat(shape(operation.x)[1] // operation.channels))
            case _:
                for part in operation.inputs:
                    need(part, True)
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
