"""Where a network's masks are placed, and the class that creates them."""

from typing import Literal

from torch import nn

from models.layers import Masksembles1d, Masksembles2d

Placement = Literal["all", "inside"]
"""Before `all` convolutions and the linear layer (the paper's), or `inside` the blocks, between their convolutions."""


class Masking:
    """Creates the masks of a network in order, each with its own seed derived from the network's."""

    def __init__(self, submodels: int, scale: float, seed: int, align: int | None) -> None:
        self._submodels, self._scale, self._seed, self._align = submodels, scale, seed, align
        self._count = 0

    def __call__(self, channels: int, kind: type[Masksembles1d] | type[Masksembles2d] = Masksembles2d) -> nn.Module:
        # counted, so that no two layers share their masks; the order of building is part of the recipe
        seed = (self._seed, self._count)
        self._count += 1
        return kind(channels, self._submodels, self._scale, seed=seed, align=self._align)
