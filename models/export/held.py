"""The values of the submodels that are handled together: [B, G·M, …] for G of them, and where each channel lies."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import Node

from models.export.channels import ChannelPlan
from models.export.emitter import Emitter
from models.export.nodes import shape

_aten = torch.ops.aten
Indices = list[NDArray[np.int64]]
"""The channels of each submodel of a set, equally many. −1 pads: the first channel again, with weight 0."""


class CannotGroup(ValueError):
    """The grouped form cannot express an operation; the message names it."""


class Held:
    """What has been written of the new graph for a set of submodels."""

    def __init__(self, emitter: Emitter, plan: ChannelPlan, members: Sequence[int]) -> None:
        self._emitter, self._call, self._plan, self._members = emitter, emitter.call, plan, members
        self.values: dict[Node, Any] = {}

    def take(self, x: Node, want: Indices, axis: int = 1, keep: Sequence[NDArray[np.bool_]] | None = None) -> Node:
        """The wanted channels of a value along an axis; those that it does not hold, or `keep` excludes, are zero."""
        value, positions, width = self.value(x), self.positions(x, axis), self.width(x, axis)
        if self._elsewhere(x, axis):
            if len(self._members) > 1:
                raise CannotGroup(f"{x.name} is masked along two axes, and cannot be grouped")
            value = self.whole(x)
        if keep is not None:
            positions = [np.where(allowed, places, -1) for places, allowed in zip(positions, keep)]
        return self.select(value, (width, axis, len(shape(x))), positions, want)

    def whole(self, x: Node) -> Node:
        """All channels of a value, for one submodel."""
        axis = self._plan.axis(x)
        if axis is None or self.shared(x):
            return self.value(x)  # type: ignore[no-any-return]
        return self.take(x, [np.arange(shape(x)[axis])], axis)

    def select(self, value: Node, place: tuple[int, int, int], positions: Indices, want: Indices) -> Node:
        """Channels of a value by where each lies, given its width, their axis and its rank."""
        width, axis, rank = place
        places = np.concatenate([source[padded(index)] for source, index in zip(positions, want)])
        if len(places) == width and (places == np.arange(width)).all():
            return value
        # one channel of zeros at the end, which every missing channel is taken from
        if (places < 0).any():
            value = self._call(_aten.constant_pad_nd.default, value, [0, 0] * (rank - 1 - axis) + [0, 1], 0)
            places = np.where(places < 0, width, places)
        if (places == np.arange(len(places)) + places[0]).all():  # without gaps, which is cheaper than to gather
            return self._call(_aten.slice.Tensor, value, axis, int(places[0]), int(places[0]) + len(places))
        index = self._emitter.constant(torch.from_numpy(places))
        if axis < rank - 1:
            return self._call(_aten.index_select.default, value, axis, index)
        # onnxruntime copies a gathered feature number by number, a gathered row of the transposed at once
        turn = [rank - 1, *range(1, rank - 1), 0]
        rows = self._call(_aten.index_select.default, self._call(_aten.permute.default, value, turn), 0, index)
        return self._call(_aten.permute.default, rows, turn)

    def positions(self, x: Node, axis: int) -> Indices:
        """Where in the value each channel of each submodel lies; −1 if it is not stored."""
        if self.shared(x) or self._elsewhere(x, axis):
            return [np.arange(shape(x)[axis])] * len(self._members)
        indices = self.indices(x, axis)
        positions = []
        for number, index in enumerate(indices):
            places = np.full(shape(x)[axis], -1)
            held = np.flatnonzero(index >= 0)
            places[index[held]] = held + number * len(index)
            positions.append(places)
        return positions

    def indices(self, node: Node, axis: int | None = None) -> Indices:
        """The channels that are stored; along an axis, of a value that may be whole."""
        if axis is not None and self._plan.axis(node) is None:
            return [np.arange(shape(node)[axis])] * len(self._members)
        stored = [self._plan.stored[node][member] for member in self._members]
        longest = max(map(len, stored))
        return [np.pad(index, (0, longest - len(index)), constant_values=-1) for index in stored]

    def width(self, x: Node, axis: int) -> int:
        if self.shared(x) or self._elsewhere(x, axis):
            return int(shape(x)[axis])
        return sum(map(len, self.indices(x, axis)))

    def shared(self, x: Node) -> bool:
        """Whether all submodels share a value, which is whole."""
        return x not in self.values

    def _elsewhere(self, x: Node, axis: int) -> bool:
        """Whether a value has its channels on another axis."""
        return not self.shared(x) and self._plan.axis(x) not in (None, axis)

    def value(self, x: Node) -> Any:
        """As it has been written."""
        return self.values[x] if x in self.values else self._emitter.shared[x]


def padded(index: NDArray[np.int64]) -> NDArray[np.int64]:
    # a real channel and not zeros, which a division may turn into NaN: weight 0 would not remove that
    return np.where(index < 0, index[0], index)
