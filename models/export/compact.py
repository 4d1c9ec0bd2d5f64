"""Drops the channels that a submodel never sees: weights are sliced for each submodel, nothing is approximated.

Two forms: `branches` runs the submodels side by side; `grouped` runs them together, as grouped convolutions and batched
matrix products, over values [B, N·M, …] in which the channels of a submodel are adjacent. Both come from one emitter,
which handles a set of submodels at a time: a single one for branches, all of them when grouped.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.fx import GraphModule, Node

from models.export.channels import ChannelPlan, analyse
from models.export.emitter import Emitter
from models.export.held import CannotGroup, Held, Indices, padded
from models.export.nodes import batch_axes, constants, has_channels, masked_part, results, shape
from models.export.operation import Operation, group_sizes, groups, mask, part
from models.export.split import without_splits

Form = Literal["branches", "grouped"]
ALIGN = 16
"""Channels in a block of onnxruntime's convolutions on CPUs with AVX-512."""

_log = logging.getLogger(__name__)
_aten = torch.ops.aten


def compact(graph: GraphModule, submodels: int, form: Form) -> GraphModule:
    """A new graph [B, …] → [N·B, K, …] in submodel-major order, for each output, from one that is traced and not
    folded.

    Raises:
        CannotGroup: the form is `grouped`, and an operation mixes channels in a way that is not known here.
    """
    graph = without_splits(graph)
    known = constants(graph)
    emitter = Emitter(known)
    inside = masked_part(graph)
    for node in graph.graph.nodes:  # what all submodels share, as it is
        if node.op == "placeholder":
            emitter.shared[node] = emitter.graph.placeholder(node.name)
        elif node.op == "call_function" and node not in inside and node not in known:
            emitter.copy(node, emitter.shared, emitter.shared)
    plan = analyse(graph, known, submodels, ALIGN)
    if form == "branches" and (restored := plan.restored()):
        counts = Counter(str(node.target) for node in restored)
        named = ", ".join(f"{name} ({number})" if number > 1 else name for name, number in counts.items())
        _log.info("compact: takes all channels, since it may mix them: %s", named)
    sets = [[index] for index in range(submodels)] if form == "branches" else [list(range(submodels))]
    outputs = results(graph)
    rows = []
    for members in sets:
        together = _Set(emitter, plan, members)
        for node, operation in plan.operations.items():
            together.emit(node, operation)
        rows.append([together.answers(output) for output in outputs])
    return emitter.finish(rows)


class _Set:
    """Submodels that are handled together: their values in the new graph, [B, G·M, …] for G of them."""

    def __init__(self, emitter: Emitter, plan: ChannelPlan, members: Sequence[int]) -> None:
        self._emitter = emitter
        self._call = emitter.call
        self._plan = plan
        self._members = members
        self._held = Held(emitter, plan, members)

    def emit(self, node: Node, operation: Operation) -> None:
        """Writes one operation of the masked part."""
        if operation.kind is None:
            self._unknown(node)
        else:
            self._held.values[node] = getattr(self, f"_{operation.kind}")(operation, self._held.indices(node))

    def answers(self, output: Node) -> Node:
        """[G·B, K, …] in submodel-major order."""
        count, (_, *sizes) = len(self._members), shape(output)
        axis = self._plan.axis(output) or 1  # the batch is on axis 0
        whole = self._held.take(output, [np.arange(sizes[axis - 1])] * count, axis)
        if count == 1:
            return whole
        order = [axis, *(place for place in range(len(sizes) + 2) if place != axis)]
        if all(isinstance(size, int) for size in sizes):
            rows = self._call(_aten.reshape.default, whole, [-1, *sizes[: axis - 1], count, *sizes[axis - 1 :]])
            return self._call(_aten.reshape.default, self._call(_aten.permute.default, rows, order), [-1, *sizes])
        rows = self._call(_aten.unflatten.int, whole, axis, [count, sizes[axis - 1]])
        return self._call(_aten.flatten.using_ints, self._call(_aten.permute.default, rows, order), 0, 1)

    def _mark(self, operation: Operation, want: Indices) -> Node:
        factors = [mask(operation, member) for member in self._members]
        open_ = [np.any(factor.reshape(len(factor), -1), axis=1, keepdims=True)[:, 0] for factor in factors]
        taken = self._held.take(operation.x, want, 1, open_)
        scale = np.concatenate([factor[index] for factor, index in zip(factors, want)])
        # these channels are zero whatever the factor: with 1, an inverted dropout's stays one number for all
        scale[np.concatenate([(index < 0) | ~keep[index] for index, keep in zip(want, open_)])] = 1  # zero anyway
        if (scale == 1).all():
            return taken
        if (scale == scale.flat[0]).all():
            return self._call(_aten.mul.Tensor, taken, float(scale.flat[0]))
        rank = len(shape(operation.x))
        whole = scale.reshape(1, len(scale), *(scale.shape[1:] or [1] * (rank - 2)))
        return self._call(_aten.mul.Tensor, taken, self._emitter.constant(torch.from_numpy(whole)))

    def _dense(self, operation: Operation, want: Indices) -> Node:
        weight, bias = operation.weight, operation.constant(2)
        given = self._held.indices(operation.x, operation.source_axis)
        axes = (0, 1) if not operation.transposed else (1, 0)
        slices = [_columns(_rows(weight, out, axes[0]), channels, axes[1]) for out, channels in zip(want, given)]
        biases = None if bias is None else [_rows(bias, out) for out in want]
        x, count = self._held.values[operation.x], len(self._members)
        if operation.node.target is not _aten.linear.default:
            whole = None if biases is None else self._emitter.constant(torch.cat(biases))
            weights = self._emitter.constant(torch.cat(slices))
            arguments = {**operation.settings, "groups": count}
            return self._call(operation.node.target, x, weights, whole, **arguments)
        if count == 1:
            whole = None if biases is None else self._emitter.constant(biases[0])
            return self._call(_aten.linear.default, x, self._emitter.constant(slices[0]), whole)
        if operation.source_axis > 1:
            raise CannotGroup(f"{operation.node.name} ({operation.node.target}) works on tokens, and cannot be grouped")
        # a convolution has groups, a linear layer has none: a product for each submodel, batched
        rows = self._call(_aten.reshape.default, x, [-1, count, len(given[0])])
        rows = self._call(_aten.permute.default, rows, [1, 0, 2])
        product = self._call(_aten.bmm.default, rows, self._emitter.constant(torch.stack([part.T for part in slices])))
        if biases is not None:
            product = self._call(_aten.add.Tensor, product, self._emitter.constant(torch.stack(biases).unsqueeze(1)))
        return self._call(
            _aten.reshape.default, self._call(_aten.permute.default, product, [1, 0, 2]), [-1, count * len(want[0])]
        )

    def _grouped(self, operation: Operation, want: Indices) -> Node:
        taken, given = group_sizes(operation)
        # what pads is the whole first group once more
        want = [np.where(index < 0, np.resize(index[:given], len(index)), index) for index in want]
        chosen = [index[::given] // given for index in want]
        sources = [(group[:, None] * taken + np.arange(taken)).flatten() for group in chosen]
        x, number = self._held.take(operation.x, sources), sum(map(len, chosen))

        def slices(value: Tensor | None, indices: Indices) -> Node | None:
            return None if value is None else self._emitter.constant(torch.cat([_rows(value, at) for at in indices]))

        if operation.node.target is _aten.group_norm.default:
            weight, bias = (slices(operation.constant(place), want) for place in (2, 3))
            return self._call(operation.node.target, x, number, weight, bias, *operation.node.args[4:])
        weight = slices(operation.weight, sources if operation.transposed else want)
        arguments = {**operation.settings, "groups": number}
        return self._call(operation.node.target, x, weight, slices(operation.constant(2), want), **arguments)

    def _normalise(self, operation: Operation, want: Indices) -> Node:
        parameters: list[Any] = list(operation.node.args[1:])
        for number, parameter in enumerate(parameters):
            if isinstance(parameter, Node):
                value = self._emitter.known[parameter]
                # PReLU may have one weight for all channels
                if len(value) == operation.channels:
                    value = torch.cat([_rows(value, index) for index in want])
                parameters[number] = self._emitter.constant(value)
        return self._call(operation.node.target, self._held.take(operation.x, want), *parameters)

    def _pointwise(self, operation: Operation, want: Indices) -> Node:
        def side(node: Node) -> Any:
            known, axis = self._emitter.known.get(node), operation.source_axis
            if known is not None:
                axis += known.ndim - len(shape(operation.node))
                if axis >= 0 and known.shape[axis] == operation.channels > 1:
                    known = torch.cat([_rows(known, index, axis) for index in want], dim=axis)
                return self._emitter.constant(known)
            if not batch_axes(node):
                return self._beside(node, operation, want)
            if shape(node)[axis] == operation.channels:
                return self._held.take(node, want, axis)
            if self._held.shared(node) or len(self._members) == 1:
                return self._held.value(node)  # one value for all channels
            return self._held.take(node, [np.zeros_like(index) for index in want], axis)

        args, kwargs = torch.fx.map_arg((operation.node.args, operation.node.kwargs), side)
        return self._call(operation.node.target, *args, **kwargs)

    def _beside(self, node: Node, operation: Operation, want: Indices) -> Any:
        """A size, or a tensor that depends on free sizes and not on rows, such as positions [T, C]."""
        value = self._held.value(node)
        if not isinstance(node.meta["val"], Tensor):
            return value
        rank = len(shape(node))
        axis = operation.source_axis + rank - len(shape(operation.node))
        if axis < 0 or shape(node)[axis] != operation.channels:
            return value
        everything = np.arange(operation.channels)
        return self._held.select(value, (operation.channels, axis, rank), [everything] * len(want), want)

    def _channelwise(self, operation: Operation, want: Indices) -> Node:
        return self._rearranged(operation, self._held.take(operation.x, want, operation.source_axis), want)

    def _permute(self, operation: Operation, want: Indices) -> Node:
        taken, rest = self._held.take(operation.x, want, operation.source_axis), operation.node.args[1:]
        if operation.node.target is _aten.transpose.int and (taken.target, taken.args[1:]) == (
            _aten.transpose.int,
            rest,
        ):
            return taken.args[0]  # type: ignore[return-value]  # there and back: only a mask lay between
        return self._call(operation.node.target, taken, *rest)

    def _rearranged(self, operation: Operation, taken: Node, want: Indices) -> Node:
        node, number = operation.node, sum(map(len, want))
        args, kwargs = torch.fx.map_arg((node.args[1:], node.kwargs), self._held.value)
        if not operation.reshapes:
            return self._call(node.target, taken, *args, **kwargs)
        sizes = list(shape(node))
        axis = operation.source_axis if operation.axis is None else operation.axis
        sizes[axis], sizes[batch_axes(node)[0]] = number, -1
        if all(isinstance(size, int) for size in sizes):
            return self._call(_aten.reshape.default, taken, sizes)
        if not operation.sizes:
            return self._call(node.target, taken, *args, **kwargs)
        given: list[Any] = list(args[0])  # type: ignore[arg-type]  # free sizes are read at each run
        given[axis] = number
        return self._call(_aten.reshape.default, taken, given)

    def _flatten(self, operation: Operation, want: Indices) -> Node:
        size = groups(operation)
        taken = self._held.take(operation.x, [index[::size] // size for index in want])  # −1 // size is −1
        return self._rearranged(operation, taken, want)

    def _part(self, operation: Operation, want: Indices) -> Node:
        places = part(operation)
        sources = [np.where(index < 0, -1, places[index]) for index in want]
        return self._held.take(operation.x, sources, operation.source_axis)

    def _reshape(self, operation: Operation, want: Indices) -> Node:
        size = shape(operation.x)[1] // operation.channels
        spread = [
            np.where(index < 0, -1, index * size)[:, None] + np.arange(size) * (index >= 0)[:, None] for index in want
        ]
        return self._rearranged(operation, self._held.take(operation.x, [index.flatten() for index in spread]), want)

    def _cat(self, operation: Operation, want: Indices) -> Node:
        joined: list[Node] = operation.node.args[0]  # type: ignore[assignment]
        positions: list[NDArray[np.int64]] = [np.full(operation.channels, -1) for _ in self._members]
        axis, rank = operation.source_axis, len(shape(operation.node))
        first = width = 0
        for x in joined:
            for places, source in zip(positions, self._held.positions(x, axis)):
                places[first : first + len(source)] = np.where(source < 0, -1, source + width)
            first += shape(x)[axis]
            width += self._held.width(x, axis)
        whole = self._call(_aten.cat.default, [self._held.value(x) for x in joined], axis)
        return self._held.select(whole, (width, axis, rank), positions, want)

    def _unknown(self, node: Node) -> None:
        """All channels in, all channels out; sizes and what is computed from them need no channels."""
        values: dict[Node, Any] = {}
        for x in node.all_input_nodes:
            if x in self._emitter.known:
                continue
            if node.target is not _aten.sym_size.int and has_channels(x):
                if len(self._members) > 1:
                    raise CannotGroup(f"{node.name} ({node.target}) mixes channels in a way that cannot be grouped")
                values[x] = self._held.whole(x)
            else:
                values[x] = self._held.value(x)
        if len(self._members) > 1 and batch_axes(node):
            raise CannotGroup(f"{node.name} ({node.target}) cannot be grouped")
        self._emitter.copy(node, values, self._held.values)


def _rows(value: Tensor, index: NDArray[np.int64], axis: int = 0) -> Tensor:
    """Slices of a weight or constant for the channels of a result."""
    return value.index_select(axis, torch.from_numpy(padded(index)))


def _columns(value: Tensor, index: NDArray[np.int64], axis: int) -> Tensor:
    """Slices of a weight for the channels of an input; padding gets weight 0."""
    taken = _rows(value, index, axis)
    return taken.index_fill(axis, torch.from_numpy(np.flatnonzero(index < 0)), 0.0) if (index < 0).any() else taken
