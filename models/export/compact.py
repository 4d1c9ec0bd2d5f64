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
from models.export.nodes import constants, has_channels, masked_part, shape
from models.export.operation import Operation, group_sizes, groups, mask

Form = Literal["branches", "grouped"]
ALIGN = 16
"""Channels in a block of onnxruntime's convolutions on CPUs with AVX-512."""

_log = logging.getLogger(__name__)
_aten = torch.ops.aten
_Indices = list[NDArray[np.int64]]
"""The channels of each submodel of a set, equally many. −1 pads: the first channel again, with weight 0."""


class CannotGroup(ValueError):
    """The grouped form cannot express an operation; the message names it."""


def compact(graph: GraphModule, submodels: int, form: Form) -> GraphModule:
    """A new graph [B, …] → [N·B, K, …] in submodel-major order, for each output, from one that is traced and not
    folded.

    Raises:
        CannotGroup: the form is `grouped`, and an operation mixes channels in a way that is not known here.
    """
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
    outputs = graph.graph.output_node().all_input_nodes
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
        self._values: dict[Node, Any] = {}

    def emit(self, node: Node, operation: Operation) -> None:
        """Writes one operation of the masked part."""
        if operation.kind is None:
            self._unknown(node)
        else:
            self._values[node] = getattr(self, f"_{operation.kind}")(operation, self._indices(node))

    def answers(self, output: Node) -> Node:
        """[G·B, K, …] in submodel-major order."""
        count, axis, (_, *sizes) = len(self._members), self._plan.axis(output) or 1, shape(output)
        whole = self._take(output, [np.arange(sizes[axis - 1])] * count, axis)
        if count == 1:
            return whole
        rows = self._call(_aten.reshape.default, whole, [-1, *sizes[: axis - 1], count, *sizes[axis - 1 :]])
        order = [axis, *(place for place in range(len(sizes) + 2) if place != axis)]
        return self._call(_aten.reshape.default, self._call(_aten.permute.default, rows, order), [-1, *sizes])

    def _mark(self, operation: Operation, want: _Indices) -> Node:
        factors = [mask(operation, member) for member in self._members]
        open_ = [np.any(factor.reshape(len(factor), -1), axis=1, keepdims=True)[:, 0] for factor in factors]
        taken = self._take(operation.x, want, 1, open_)
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

    def _dense(self, operation: Operation, want: _Indices) -> Node:
        weight, bias = operation.weight, operation.constant(2)
        given = self._indices(operation.x, operation.source_axis)
        axes = (0, 1) if not operation.transposed else (1, 0)
        slices = [_columns(_rows(weight, out, axes[0]), channels, axes[1]) for out, channels in zip(want, given)]
        biases = None if bias is None else [_rows(bias, out) for out in want]
        x, count = self._values[operation.x], len(self._members)
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

    def _grouped(self, operation: Operation, want: _Indices) -> Node:
        taken, given = group_sizes(operation)
        # what pads is the whole first group once more
        want = [np.where(index < 0, np.resize(index[:given], len(index)), index) for index in want]
        chosen = [index[::given] // given for index in want]
        sources = [(group[:, None] * taken + np.arange(taken)).flatten() for group in chosen]
        x, number = self._take(operation.x, sources), sum(map(len, chosen))

        def slices(value: Tensor | None, indices: _Indices) -> Node | None:
            return None if value is None else self._emitter.constant(torch.cat([_rows(value, at) for at in indices]))

        if operation.node.target is _aten.group_norm.default:
            weight, bias = (slices(operation.constant(place), want) for place in (2, 3))
            return self._call(operation.node.target, x, number, weight, bias, *operation.node.args[4:])
        weight = slices(operation.weight, sources if operation.transposed else want)
        arguments = {**operation.settings, "groups": number}
        return self._call(operation.node.target, x, weight, slices(operation.constant(2), want), **arguments)

    def _normalise(self, operation: Operation, want: _Indices) -> Node:
        parameters: list[Any] = list(operation.node.args[1:])
        for number, parameter in enumerate(parameters):
            if isinstance(parameter, Node):
                value = self._emitter.known[parameter]
                # PReLU may have one weight for all channels
                if len(value) == operation.channels:
                    value = torch.cat([_rows(value, index) for index in want])
                parameters[number] = self._emitter.constant(value)
        return self._call(operation.node.target, self._take(operation.x, want), *parameters)

    def _pointwise(self, operation: Operation, want: _Indices) -> Node:
        def side(node: Node) -> Node:
            known, axis = self._emitter.known.get(node), operation.source_axis
            if known is not None:
                axis += known.ndim - len(shape(operation.node))
                if axis >= 0 and known.shape[axis] == operation.channels > 1:
                    known = torch.cat([_rows(known, index, axis) for index in want], dim=axis)
                return self._emitter.constant(known)
            if shape(node)[axis] == operation.channels:
                return self._take(node, want, axis)
            if node not in self._values or len(self._members) == 1:
                shared: Node = self._value(node)  # one value for all channels
                return shared
            return self._take(node, [np.zeros_like(index) for index in want], axis)

        args, kwargs = torch.fx.map_arg((operation.node.args, operation.node.kwargs), side)
        return self._call(operation.node.target, *args, **kwargs)

    def _channelwise(self, operation: Operation, want: _Indices) -> Node:
        return self._rearranged(operation, self._take(operation.x, want, operation.source_axis), want)

    def _permute(self, operation: Operation, want: _Indices) -> Node:
        taken, rest = self._take(operation.x, want, operation.source_axis), operation.node.args[1:]
        if operation.node.target is _aten.transpose.int and (taken.target, taken.args[1:]) == (
            _aten.transpose.int,
            rest,
        ):
            return taken.args[0]  # type: ignore[return-value]  # there and back: only a mask lay between
        return self._call(operation.node.target, taken, *rest)

    def _rearranged(self, operation: Operation, taken: Node, want: _Indices) -> Node:
        if operation.reshapes:
            return self._call(_aten.reshape.default, taken, [-1, sum(map(len, want)), *shape(operation.node)[2:]])
        return self._call(operation.node.target, taken, *operation.node.args[1:], **operation.node.kwargs)

    def _flatten(self, operation: Operation, want: _Indices) -> Node:
        size = groups(operation)
        taken = self._take(operation.x, [index[::size] // size for index in want])  # −1 // size is −1
        return self._rearranged(operation, taken, want)

    def _reshape(self, operation: Operation, want: _Indices) -> Node:
        size = shape(operation.x)[1] // operation.channels
        spread = [
            np.where(index < 0, -1, index * size)[:, None] + np.arange(size) * (index >= 0)[:, None] for index in want
        ]
        return self._rearranged(operation, self._take(operation.x, [index.flatten() for index in spread]), want)

    def _cat(self, operation: Operation, want: _Indices) -> Node:
        parts: list[Node] = operation.node.args[0]  # type: ignore[assignment]
        positions: list[NDArray[np.int64]] = [np.full(operation.channels, -1) for _ in self._members]
        axis, rank = operation.source_axis, len(shape(operation.node))
        first = width = 0
        for part in parts:
            for places, source in zip(positions, self._positions(part, axis)):
                places[first : first + len(source)] = np.where(source < 0, -1, source + width)
            first += shape(part)[axis]
            width += self._width(part, axis)
        whole = self._call(_aten.cat.default, [self._value(part) for part in parts], axis)
        return self._select(whole, (width, axis, rank), positions, want)

    def _unknown(self, node: Node) -> None:
        """All channels in, all channels out; sizes and what is computed from them need no channels."""
        values: dict[Node, Any] = {}
        for x in node.all_input_nodes:
            if x in self._emitter.known:
                continue
            if node.target is not _aten.sym_size.int and has_channels(x):
                if len(self._members) > 1:
                    raise CannotGroup(f"{node.name} ({node.target}) mixes channels in a way that cannot be grouped")
                axis = self._plan.axis(x) or 1
                values[x] = self._take(x, [np.arange(shape(x)[axis])], axis)
            else:
                values[x] = self._value(x)
        if len(self._members) > 1 and not isinstance(node.meta.get("val"), torch.SymInt):
            raise CannotGroup(f"{node.name} ({node.target}) cannot be grouped")
        self._emitter.copy(node, values, self._values)

    def _take(self, x: Node, want: _Indices, axis: int = 1, keep: Sequence[NDArray[np.bool_]] | None = None) -> Node:
        """The wanted channels of a value along an axis; those that it does not hold, or `keep` excludes, are zero."""
        value, positions, width = self._value(x), self._positions(x, axis), self._width(x, axis)
        if self._elsewhere(x, axis):
            if len(self._members) > 1:
                raise CannotGroup(f"{x.name} is masked along two axes, and cannot be grouped")
            own = self._plan.axis(x) or 1
            value = self._take(x, [np.arange(shape(x)[own])], own)
        if keep is not None:
            positions = [np.where(allowed, places, -1) for places, allowed in zip(positions, keep)]
        return self._select(value, (width, axis, len(shape(x))), positions, want)

    def _select(self, value: Node, place: tuple[int, int, int], positions: _Indices, want: _Indices) -> Node:
        """Channels of a value by where each lies, given its width, their axis and its rank."""
        width, axis, rank = place
        places = np.concatenate([source[_padded(index)] for source, index in zip(positions, want)])
        if len(places) == width and (places == np.arange(width)).all():
            return value
        # one channel of zeros at the end, which every missing channel is taken from
        if (places < 0).any():
            value = self._call(_aten.constant_pad_nd.default, value, [0, 0] * (rank - 1 - axis) + [0, 1], 0)
            places = np.where(places < 0, width, places)
        index = self._emitter.constant(torch.from_numpy(places))
        if axis < rank - 1:
            return self._call(_aten.index_select.default, value, axis, index)
        # onnxruntime copies a gathered feature number by number, a gathered row of the transposed at once
        turn = [rank - 1, *range(1, rank - 1), 0]
        rows = self._call(_aten.index_select.default, self._call(_aten.permute.default, value, turn), 0, index)
        return self._call(_aten.permute.default, rows, turn)

    def _positions(self, x: Node, axis: int) -> _Indices:
        """Where in the value each channel of each submodel lies; −1 if it is not stored."""
        if self._shared(x) or self._elsewhere(x, axis):
            return [np.arange(shape(x)[axis])] * len(self._members)
        indices = self._indices(x, axis)
        positions = []
        for number, index in enumerate(indices):
            places = np.full(shape(x)[axis], -1)
            held = np.flatnonzero(index >= 0)
            places[index[held]] = held + number * len(index)
            positions.append(places)
        return positions

    def _indices(self, node: Node, axis: int | None = None) -> _Indices:
        """The channels that are stored; along an axis, of a value that may be whole."""
        if axis is not None and self._plan.axis(node) is None:
            return [np.arange(shape(node)[axis])] * len(self._members)
        stored = [self._plan.stored[node][member] for member in self._members]
        longest = max(map(len, stored))
        return [np.pad(index, (0, longest - len(index)), constant_values=-1) for index in stored]

    def _width(self, x: Node, axis: int) -> int:
        if self._shared(x) or self._elsewhere(x, axis):
            return int(shape(x)[axis])
        return sum(map(len, self._indices(x, axis)))

    def _shared(self, x: Node) -> bool:
        """Whether all submodels share a value, which is whole."""
        return x not in self._values

    def _elsewhere(self, x: Node, axis: int) -> bool:
        """Whether a value has its channels on another axis."""
        return not self._shared(x) and self._plan.axis(x) not in (None, axis)

    def _value(self, x: Node) -> Any:
        return self._values[x] if x in self._values else self._emitter.shared[x]


def _padded(index: NDArray[np.int64]) -> NDArray[np.int64]:
    # a real channel and not zeros, which a division may turn into NaN: weight 0 would not remove that
    return np.where(index < 0, index[0], index)


def _rows(value: Tensor, index: NDArray[np.int64], axis: int = 0) -> Tensor:
    """Slices of a weight or constant for the channels of a result."""
    return value.index_select(axis, torch.from_numpy(_padded(index)))


def _columns(value: Tensor, index: NDArray[np.int64], axis: int) -> Tensor:
    """Slices of a weight for the channels of an input; padding gets weight 0."""
    taken = _rows(value, index, axis)
    return taken.index_fill(axis, torch.from_numpy(np.flatnonzero(index < 0)), 0.0) if (index < 0).any() else taken
