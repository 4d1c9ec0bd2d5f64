"""A single network: nothing is masked, and there is one prediction."""

from typing import TYPE_CHECKING

from torch import nn

from models.training.methods.method import Maskless

if TYPE_CHECKING:
    from models.training.recipe import Recipe


class SingleMethod(Maskless):
    """The reference that other methods are compared with."""

    label = "single"
    trains = "single"
    line = ":"

    def stand_in(self, layer: nn.Module, recipe: "Recipe") -> nn.Module:
        """No operation."""
        return nn.Identity()
