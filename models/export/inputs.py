"""The input of an artefact: its description in the contract, and rows to try the network on."""

from math import inf

import torch
from torch import Tensor

from app.contract.tensor import Tensor as ContractTensor
from models.export.options import ExportOptions

_ROWS = 64


def describe_input(example: Tensor, options: ExportOptions) -> ContractTensor:
    """Describes the input tensor, given an example [B, …].

    Raises:
        ValueError: it is neither float32 nor uint8.
    """
    if example.dtype not in (torch.float32, torch.uint8):
        raise ValueError(f"example_input must be float32 or uint8, got {example.dtype}")
    return ContractTensor(
        name="input",
        dtype="uint8" if example.dtype == torch.uint8 else "float32",
        shape=("B", *example.shape[1:]),
        unit=options.unit,
        range=options.value_range,
        layout=options.layout,
        colour=options.colour,
        resize=options.resize,
    )


def varied_rows(example: Tensor, value_range: tuple[float, float] | None) -> Tensor:
    """64 rows near the example's, no two alike, within the range."""
    rows = torch.cat([example] * -(-_ROWS // len(example)))[:_ROWS].float()
    # near the example and not from noise: a network answers noise with one class, whatever else is wrong
    # a generator of its own: an export leaves the caller's random numbers alone
    rows = rows * (0.8 + 0.4 * torch.rand(rows.shape, generator=torch.Generator().manual_seed(0)))
    low, high = value_range or ((0, 255) if example.dtype == torch.uint8 else (-inf, inf))
    return rows.clamp(low, high).to(example.dtype)
