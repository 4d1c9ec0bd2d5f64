"""Rows as onnxruntime takes them, and how many of them are compared at once."""

from math import prod
from typing import Any

from numpy.typing import NDArray

from app.contract.axis import divisor_of, letter_of
from app.contract.schema import Contract
from models.export.axes import Sizes
from models.given import Tensors, each

_MOST_VALUES = 2**23
"""Most numbers that a network gives for the rows compared at once: in float64 and a few times over, half a gigabyte."""


def feed(contract: Contract, rows: Tensors) -> dict[str, NDArray[Any]]:
    """Inputs [B, …] by name."""
    return {given.name: one.numpy() for given, one in zip(contract.inputs, each(rows), strict=True)}


def rows_at_once(contract: Contract, sizes: Sizes) -> int:
    """How many rows of these sizes can be compared at once; 0 if not even one."""
    return _MOST_VALUES // sum(
        _values(contract, head.grid, sizes) * max(len(head.labels), 2 * len(head.targets)) for head in contract.heads
    )


def _values(contract: Contract, grid: tuple[int | str, ...], sizes: Sizes) -> int:
    cells = prod(sizes[str(letter_of(one))] // divisor_of(one) if isinstance(one, str) else one for one in grid)
    return contract.num_submodels * cells
