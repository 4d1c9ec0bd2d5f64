"""Axes of free size: how a network is traced with them, and the sizes at which it is tried."""

import re
from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from app.contract.axis import Axes, FreeAxis
from models.layers import submodels

Shape = Sequence[int | str]
"""Of a row: numbers, and letters of free axes."""
Dims = Mapping[int, Any]
"""torch.export's dimensions, by axis of the input [B, …]."""

_MOST_VALUES = 2**20  # of a row that is tried: trying takes a moment, and not minutes


def dims(shape: Shape, axes: Axes) -> Dims:
    """The free axes of an input [B, …] as torch.export wants them; one letter is one dimension."""
    named = {letter: _dim(letter, axis) for letter, axis in axes.items()}
    return {index: named[size] for index, size in enumerate(shape, 1) if isinstance(size, str)}


def _dim(letter: str, axis: FreeAxis) -> Any:
    step = axis.multiple_of
    if step == 1:
        return torch.export.Dim(letter, min=axis.least, max=axis.most)
    return step * torch.export.Dim(f"_{letter}", min=axis.least // step, max=axis.most // step)


def check_example(shape: Shape, axes: Axes, example: Tensor) -> None:
    """Checks that an example [B, …] has a shape with free axes.

    Raises:
        ValueError: it has another one; or letters and axes do not match.
    """
    letters = {size for size in shape if isinstance(size, str)}
    if letters != axes.keys():
        raise ValueError(f"axes: expected the letters of input_shape {list(shape)}, got {', '.join(axes) or 'none'}")
    sizes: dict[int | str, int] = {}
    fits = example.ndim == len(shape) + 1
    for declared, size in zip(shape, example.shape[1:]):
        wanted = axes[declared].takes(size) if isinstance(declared, str) else declared == size
        fits = fits and wanted and sizes.setdefault(declared, size) == size
    if not fits:
        bounds = ", ".join(f"{letter} = {axis.expected}" for letter, axis in axes.items())
        raise ValueError(f"example_input: expected rows {list(shape)}, {bounds}; got {list(example.shape[1:])}")


def sizes_to_try(shape: Shape, axes: Axes) -> list[tuple[int, ...]]:
    """Sizes of rows: each axis at its least, the next, a middle and its largest size, the others at their least and at
    a middle; without those of more than a million values."""
    chosen = {letter: _sizes_of(axis) for letter, axis in axes.items()}
    found: dict[tuple[int, ...], None] = {}
    for place, letter in product((0, -2), axes):
        rest = {other: sizes[max(place, -len(sizes))] for other, sizes in chosen.items()}
        for size in chosen[letter]:
            picked = {**rest, letter: size}
            found[tuple(picked[part] if isinstance(part, str) else part for part in shape)] = None
    return [sizes for sizes in found if prod(sizes) <= _MOST_VALUES]


def _sizes_of(axis: FreeAxis) -> list[int]:
    step = axis.multiple_of
    middle = (axis.least + axis.most) // 2 // step * step
    return sorted({axis.least, min(axis.least + step, axis.most), max(middle, axis.least), axis.most})


def resized(rows: Tensor, sizes: Sequence[int]) -> Tensor:
    """Rows [B, …] of other sizes: their values, cut off or repeated along each axis."""
    for axis, size in enumerate(sizes, 1):
        if rows.shape[axis] != size:
            rows = rows.index_select(axis, torch.arange(size) % rows.shape[axis])
    return rows


def check_sizes(network: nn.Module, rows: Tensor, shape: Shape, axes: Axes) -> None:
    """Runs a network on rows of several sizes.

    Raises:
        ValueError: it fails at one of them, which the message names.
    """
    for sizes in sizes_to_try(shape, axes):
        try:
            with torch.no_grad():
                submodels(network, resized(rows[:2], sizes))
        except Exception as error:  # whatever the network's own code raises
            named = {letter: size for letter, size in zip(shape, sizes) if isinstance(letter, str)}
            said = ", ".join(f"{letter} = {size}" for letter, size in named.items())
            raise ValueError(f"axes: the network does not take {said}: {error}") from error


def violated(error: BaseException, axes: Axes) -> str | None:
    """What to tell of torch.export's error if the network fixes a free axis or does not take all its sizes."""
    found = re.search(r"Constraints violated \((.*?)\)", str(error))
    names = [name.strip().lstrip("_") for name in found[1].split(",")] if found else []
    letters = [name for name in names if name in axes]
    if not letters:
        return None
    letter = letters[0]
    return (
        f"axes.{letter}: the network cannot be traced for every {letter} = {axes[letter].expected}. It makes the size "
        "a constant (as recurrent layers do with the time), treats some sizes in another way (a map that shrinks to "
        f"size 1: raise `least`), or needs a multiple (`multiple_of`)\ntorch.export says: {error}"
    )
