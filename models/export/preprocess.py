"""The graph's first step: from natural units to the values the network was trained on."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

Normalise = tuple[float | Sequence[float], float | Sequence[float]]
"""Mean and standard deviation."""


class Preprocess(nn.Module):
    """From natural units [B, …] to the values the network was trained on: (x − mean) / std.

    uint8 is divided by 255 first; mean and std are one number each, or one per channel (axis 1 of `shape`, [B, …]).
    Other whole numbers and truth values stay as they are.
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, normalise: Normalise | None, shape: Sequence[int]) -> None:
        super().__init__()
        for index, name in enumerate(("mean", "std")):
            value = None
            if normalise is not None:
                value = torch.tensor(normalise[index], dtype=torch.float32).flatten()
                channels = shape[1] if len(shape) > 1 else 1
                if len(value) not in (1, channels):
                    raise ValueError(f"normalise: expected 1 or {channels} values for the {name}, got {len(value)}")
                value = value.reshape(1, -1, *[1] * (len(shape) - 2)) if len(shape) > 1 else value
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


class PreprocessEach(nn.Module):
    """The same for several inputs, in order."""

    def __init__(self, steps: Sequence[Preprocess]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(step(x) for step, x in zip(self.steps, inputs, strict=True))


def preprocess_each(normalise: Iterable[Normalise | None], shapes: Iterable[Sequence[int]]) -> nn.Module:
    """The step for all inputs [B, …] of a network, in order.

    Raises:
        ValueError: mean or standard deviation do not fit an input.
    """
    steps = [Preprocess(one, shape) for one, shape in zip(normalise, shapes, strict=True)]
    return steps[0] if len(steps) == 1 else PreprocessEach(steps)
