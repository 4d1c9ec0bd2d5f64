"""Which rows may share a batch, and how they become one: rows of one size, and of several where an axis is padded."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.axis import FreeAxis
from app.contract.schema import Contract

Feeds = dict[str, NDArray[Any]]
"""Inputs [B, …] of a graph by name."""

_LARGE_BYTES = 2**20  # above it a copy under the lock would hold up the event loop


class RowShapes:
    """The free axes of a model's inputs, seen from its batches."""

    def __init__(self, contract: Contract) -> None:
        self._places = places = dict[str, tuple[str, int]]()
        for given in contract.inputs:
            for index, size in enumerate(given.shape):
                if size in contract.axes:
                    places.setdefault(str(size), (given.name, index))
        padded = {letter: axis for letter, axis in contract.axes.items() if axis.padding is not None}
        self._shared = tuple(place for letter, place in places.items() if letter not in padded)
        self._padded = tuple((places[letter], buckets(axis)) for letter, axis in padded.items())
        self._fills = {
            given.name: tuple(
                (at, padded[str(size)].padding.fill.get(given.name, 0))  # type: ignore[union-attr]
                for at, size in enumerate(given.shape)
                if size in padded
            )
            for given in contract.inputs
        }
        self._lengths = {  # which of the padded axes each of those is
            given.name: tuple(list(padded).index(str(size)) for size in given.shape if size in padded)
            for given in contract.inputs
        }

    def letters(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, int]:
        """The sizes of B and of free axes, by letter."""
        found = {letter: inputs[name].shape[axis] for letter, (name, axis) in self._places.items()}
        return {"B": len(next(iter(inputs.values()))), **found}

    def shared(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[int, ...]:
        """The sizes that all rows of a batch must have."""
        return tuple([inputs[name].shape[axis] for name, axis in self._shared])

    def row_values(self, inputs: Mapping[str, NDArray[Any]]) -> int:
        """How many values one of these rows has in its batch, if none is longer."""
        lengths = self._lengths_of([inputs]) if self._padded else ()
        return sum(math.prod(self._target(name, values, lengths)[1:]) for name, values in inputs.items())

    def join(self, parts: Sequence[Feeds]) -> Feeds:
        """The rows of several requests as one batch; padded axes get the longest size, up to that of a bucket.

        Small batches are copied at once under the interpreter's lock: NumPy releases it for every part, and gets it
        back late.
        """
        lengths = self._lengths_of(parts) if self._padded else ()
        return {name: self._join(name, [part[name] for part in parts], lengths) for name in parts[0]}

    def _join(self, name: str, arrays: list[NDArray[Any]], lengths: Sequence[int]) -> NDArray[Any]:
        if self._fills[name]:
            arrays = [self._pad(name, values, lengths) for values in arrays]
        if len(arrays) == 1:
            return arrays[0]
        if sum(values.nbytes for values in arrays) > _LARGE_BYTES:
            return np.concatenate(arrays)
        first = arrays[0]
        return np.frombuffer(b"".join(values.data for values in arrays), first.dtype).reshape(-1, *first.shape[1:])

    def _pad(self, name: str, values: NDArray[Any], lengths: Sequence[int]) -> NDArray[Any]:
        shape = self._target(name, values, lengths)
        if shape == values.shape:
            return values
        for axis, fill in self._fills[name]:
            widths = [(0, shape[axis] - values.shape[axis] if at == axis else 0) for at in range(values.ndim)]
            values = np.pad(values, widths, constant_values=values.dtype.type(fill))
        return values

    def _target(self, name: str, values: NDArray[Any], lengths: Sequence[int]) -> tuple[int, ...]:
        shape = list(values.shape)
        for (axis, _), index in zip(self._fills[name], self._lengths[name]):
            shape[axis] = lengths[index]
        return tuple(shape)

    def _lengths_of(self, parts: Sequence[Mapping[str, NDArray[Any]]]) -> list[int]:
        return [
            next(size for size in sizes if size >= max(part[name].shape[axis] for part in parts))
            for (name, axis), sizes in self._padded
        ]


def buckets(axis: FreeAxis) -> tuple[int, ...]:
    """The few sizes that batches have on a padded axis: a device prepares anew for every size that it meets. Each is
    twice the one before; the last is the largest."""
    found = [axis.least]
    while found[-1] < axis.most:
        found.append(min(2 * found[-1], axis.most))
    return tuple(found)


def row_of(contract: Contract, sizes: Mapping[str, int]) -> Feeds:
    """A valid row [1, …] whose free axes have these sizes."""
    row: Feeds = {}
    marks = {axis.padding.mark for axis in contract.axes.values() if axis.padding is not None}
    for given in contract.inputs:
        shape = [sizes[size] if isinstance(size, str) else size for size in given.shape[1:]]
        # the smallest valid value: 0 may lie outside the range; an entry that is real, or a mean over none is NaN
        value = 1 if given.name in marks else given.range[0] if given.range else 0
        row[given.name] = np.full((1, *shape), value, dtype=given.dtype)
    return row


def sizes_to_try(contract: Contract) -> list[dict[str, int]]:
    """The sizes at which a model is run before it is trusted: all axes at their least, at their most, and each padded
    one at the sizes of its batches."""
    least = {letter: axis.least for letter, axis in contract.axes.items()}
    found = [least]
    for letter, axis in contract.axes.items():
        if axis.padding is not None:
            found += [{**least, letter: size} for size in buckets(axis)[1:]]
    most = {letter: axis.most for letter, axis in contract.axes.items()}
    return [*found, most] if most not in found else found
