"""Axes of free size: how a network is traced with them, and the sizes at which it is tried."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from app.contract.axis import Axes, FreeAxis
from models.given import Tensors, each, rows_of
from models.layers import submodels_by_head

Shape = Sequence[int | str]
"""Of a row: numbers, and letters of free axes."""
Dims = Mapping[int, Any]
"""torch.export's dimensions, by axis of an input [B, …]."""
Sizes = Mapping[str, int]
"""Sizes of free axes, by letter."""

_MOST_VALUES = 2**20  # of a row that is tried: trying takes a moment, and not minutes


def dims(shapes: Sequence[Shape], axes: Axes) -> list[Dims]:
    """The free axes of each input [B, …] as torch.export wants them; one letter is one dimension."""
    named = {letter: _dim(letter, axis) for letter, axis in axes.items()}
    return [{place: named[size] for place, size in enumerate(shape, 1) if isinstance(size, str)} for shape in shapes]


def _dim(letter: str, axis: FreeAxis) -> Any:
    step = axis.multiple_of
    if step == 1:
        return torch.export.Dim(letter, min=axis.least, max=axis.most)
    return step * torch.export.Dim(f"_{letter}", min=axis.least // step, max=axis.most // step)


def check_examples(shapes: Mapping[str, Shape], axes: Axes, examples: Mapping[str, Tensor]) -> None:
    """Checks that examples [B, …] have shapes with free axes, both by name of the input.

    Raises:
        ValueError: one has another shape, or another number of rows; or letters and axes do not match.
    """
    letters = {size for shape in shapes.values() for size in shape if isinstance(size, str)}
    if letters != axes.keys():
        spelled = ", ".join(str(list(shape)) for shape in shapes.values())
        raise ValueError(f"axes: expected the letters of input_shape {spelled}, got {', '.join(axes) or 'none'}")
    sizes: dict[int | str, int] = {}
    for name, shape in shapes.items():
        example = examples[name]
        fits = example.ndim == len(shape) + 1
        for declared, size in zip(shape, example.shape[1:]):
            wanted = axes[declared].takes(size) if isinstance(declared, str) else declared == size
            fits = fits and wanted and sizes.setdefault(declared, size) == size
        if not fits:
            of = f" of {name}" if len(shapes) > 1 else ""
            bounds = "".join(f", {letter} = {axis.expected}" for letter, axis in axes.items())
            raise ValueError(f"example_input: expected rows{of} {list(shape)}{bounds}; got {list(example.shape[1:])}")
    if len(set(map(len, examples.values()))) > 1:
        raise ValueError("example_input: expected as many rows of each input")


def sizes_to_try(shapes: Sequence[Shape], axes: Axes) -> list[Sizes]:
    """Sizes of free axes: each at its least, the next, a middle and its largest size, the others at their least and at
    a middle, and all at their largest; without those that make a row of more than a million values."""
    chosen = {letter: _sizes_of(axis) for letter, axis in axes.items()}
    found: list[Sizes] = []
    for place, letter in product((0, -2), axes):
        rest = {other: sizes[max(place, -len(sizes))] for other, sizes in chosen.items()}
        for size in chosen[letter]:
            if (picked := {**rest, letter: size}) not in found:
                found.append(picked)
    if axes and (largest := {letter: axis.most for letter, axis in axes.items()}) not in found:
        found.append(largest)
    return [sizes for sizes in found if sum(prod(numbers(shape, sizes)) for shape in shapes) <= _MOST_VALUES]


def numbers(shape: Shape, sizes: Sizes) -> tuple[int, ...]:
    """A shape with sizes in place of letters."""
    return tuple(sizes[size] if isinstance(size, str) else size for size in shape)


def _sizes_of(axis: FreeAxis) -> list[int]:
    step = axis.multiple_of
    middle = (axis.least + axis.most) // 2 // step * step
    return sorted({axis.least, min(axis.least + step, axis.most), max(middle, axis.least), axis.most})


def resized(rows: Tensors, shapes: Sequence[Shape], sizes: Sizes) -> tuple[Tensor, ...]:
    """Rows [B, …] of inputs at other sizes: their values, cut off or repeated along each axis."""
    return tuple(_resized(one, numbers(shape, sizes)) for one, shape in zip(each(rows), shapes, strict=True))


def _resized(rows: Tensor, shape: Sequence[int]) -> Tensor:
    for axis, size in enumerate(shape, 1):
        if rows.shape[axis] != size:
            rows = rows.index_select(axis, torch.arange(size) % rows.shape[axis])
    return rows


def traceable(example: Tensors, shapes: Sequence[Shape], axes: Axes) -> tuple[Tensor, ...]:
    """An example whose free axes have sizes above 1, which torch.export takes for constants."""
    found = dict(letters(example, shapes))
    larger = {letter: min(max(size, 2 * axes[letter].multiple_of), axes[letter].most) for letter, size in found.items()}
    return resized(example, shapes, larger)


def letters(rows: Tensors, shapes: Sequence[Shape]) -> Iterator[tuple[str, int]]:
    """The sizes that letters have in rows [B, …] of inputs."""
    for one, shape in zip(each(rows), shapes, strict=True):
        yield from ((letter, size) for letter, size in zip(shape, one.shape[1:]) if isinstance(letter, str))


def spelled(sizes: Sizes) -> str:
    """Sizes in words, for messages."""
    return ", ".join(f"{letter} = {size}" for letter, size in sizes.items())


def check_sizes(network: nn.Module, rows: Tensors, shapes: Sequence[Shape], axes: Axes) -> None:
    """Runs a network on rows of several sizes.

    Raises:
        ValueError: it fails at one of them, which the message names.
    """
    for sizes in sizes_to_try(shapes, axes):
        try:
            with torch.no_grad():
                submodels_by_head(network, *resized(rows_of(rows, slice(2)), shapes, sizes))
        except Exception as error:  # whatever the network's own code raises
            raise ValueError(f"axes: the network does not take {spelled(sizes)}: {error}") from error


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
