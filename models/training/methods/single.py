"""A single network: nothing is masked, and it answers once."""

from typing import TYPE_CHECKING

from torch import nn

from models.training.methods.method import Maskless

if TYPE_CHECKING:
    from models.training.recipe import Recipe


class SingleMethod(Maskless):
    """What the others are compared with."""

    label = "single"
    trains = "single"
    line = ":"

    def stand_in(self, layer: nn.Module, recipe: "Recipe") -> nn.Module:
        """Nothing."""
        return nn.Identity()
