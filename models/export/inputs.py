"""The input of an artefact: its description in the contract, and rows to try the network on."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from app.contract.tensor import Tensor as ContractTensor
from models.export.axes import check_example
from models.export.options import ExportOptions, Range

_ROWS = 64


def describe_input(example: Tensor, options: ExportOptions) -> ContractTensor:
    """Describes the input tensor, given an example [B, …].

    Raises:
        ValueError: it is neither float32 nor uint8, or range or shape do not fit it.
    """
    if example.dtype not in (torch.float32, torch.uint8):
        raise ValueError(f"example_input must be float32 or uint8, got {example.dtype}")
    shape = tuple(options.input_shape or example.shape[1:])
    check_example(shape, options.axes, example)
    spanned, ranges = _ranges(options, example)
    return ContractTensor(
        name="input",
        dtype="uint8" if example.dtype == torch.uint8 else "float32",
        shape=("B", *shape),
        unit=options.unit,
        range=spanned,
        channel_ranges=ranges,
        layout=options.layout,
        colour=options.colour,
        resize=options.resize,
    )


def _ranges(options: ExportOptions, example: Tensor) -> tuple[Range | None, tuple[Range, ...] | None]:
    """The range of all values, and those of the channels if there is one for each."""
    given: Any = options.value_range
    if given is None or not isinstance(given[0], Sequence):
        return given, None
    if len(given) != (channels := example.shape[1] if example.ndim > 1 else 0):
        raise ValueError(f"value_range: expected one pair, or one for each of {channels} channels, got {len(given)}")
    lows, highs = zip(*given)
    return (min(lows), max(highs)), tuple(zip(lows, highs))


def varied_rows(example: Tensor, given: ContractTensor) -> Tensor:
    """64 rows near the example's, no two alike, within the range of the input."""
    rows = torch.cat([example] * -(-_ROWS // len(example)))[:_ROWS].float()
    # near the example and not from noise: a network answers noise with one class, whatever else is wrong
    # a generator of its own: an export leaves the caller's random numbers alone
    rows = rows * (0.8 + 0.4 * torch.rand(rows.shape, generator=torch.Generator().manual_seed(0)))
    if given.channel_ranges is None:
        return rows.clamp(*given.limits).to(example.dtype)
    low, high = torch.tensor(given.channel_ranges).T.reshape(2, 1, -1, *[1] * (rows.ndim - 2))
    return rows.clamp(low, high).to(example.dtype)
