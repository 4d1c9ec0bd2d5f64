"""The graph's first step: from natural units to the values the network was trained on."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

Normalise = tuple[float | Sequence[float], float | Sequence[float]]
"""Mean and standard deviation."""


class Preprocess(nn.Module):
    """From natural units, uint8 or float32 [B, …], to the values the network was trained on: (x − mean) / std.

    uint8 is divided by 255 first; mean and std are one number each, or one per channel (axis 1 of `shape`, [B, …]).
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, normalise: Normalise | None, shape: Sequence[int]) -> None:
        super().__init__()
        for index, name in enumerate(("mean", "std")):
            value = None
            if normalise is not None:
                value = torch.tensor(normalise[index], dtype=torch.float32).flatten()
                if len(value) not in (1, shape[1]):
                    raise ValueError(f"normalise: expected 1 or {shape[1]} values for the {name}, got {len(value)}")
                value = value.reshape(1, -1, *[1] * (len(shape) - 2))
            self.register_buffer(name, value)
        if self.std is not None and not bool((self.std > 0).all()):
            raise ValueError(f"normalise: the standard deviation must be positive, got {normalise}")

    # in the graph, so that every client sends the same numbers, whatever the network was trained on
    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.uint8:
            x = x.float() / 255
        if self.mean is not None and self.std is not None:
            x = (x - self.mean) / self.std
        return x
