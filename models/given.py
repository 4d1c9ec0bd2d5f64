"""What a network is given and what it gives: one tensor, or several in order."""

from torch import Tensor

Tensors = Tensor | tuple[Tensor, ...]
"""One tensor [B, …]; or several, in the order of a network's arguments or of its heads."""


def each(tensors: Tensors) -> tuple[Tensor, ...]:
    """Several, of which there may be one."""
    return (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)


def rows_of(tensors: Tensors, rows: slice) -> tuple[Tensor, ...]:
    """Some of the rows of each."""
    return tuple(one[rows] for one in each(tensors))
