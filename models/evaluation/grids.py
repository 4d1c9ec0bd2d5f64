"""The sizes of the grids that dense heads answer for, which follow from those of the inputs. No torch here."""

from collections.abc import Mapping
from typing import Any

from app.contract.axis import divisor_of
from app.contract.head import Head
from app.contract.schema import Contract


def letter_sizes(contract: Contract, inputs: Mapping[str, Any]) -> dict[str, int]:
    """The sizes of the free axes of inputs [B, …] by name, by their letters."""
    return {
        letter: size
        for given in contract.inputs
        for letter, size in zip(given.shape, inputs[given.name].shape)
        if letter in contract.axes
    }


def grid_sizes(head: Head, letters: Mapping[str, int]) -> tuple[int, ...]:
    """The sizes of a head's grid, where free axes have such sizes; none if it is not dense."""
    return tuple(size if isinstance(size, int) else letters[size[0]] // divisor_of(size) for size in head.grid)
