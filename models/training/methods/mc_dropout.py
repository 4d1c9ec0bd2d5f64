"""MC-dropout (Gal & Ghahramani 2016, arXiv 1506.02142): dropout that stays active after training, frozen into N masks
by the export."""

from typing import TYPE_CHECKING, Any

from torch import nn

from models.layers import Masksembles2d
from models.training.methods.method import Maskless

if TYPE_CHECKING:
    from models.training.recipe import Recipe


class McDropoutMethod(Maskless):
    """Dropout in place of masks."""

    label = "MC-dropout"
    trains = "mc-dropout"
    line = "-."

    def stand_in(self, layer: nn.Module, recipe: "Recipe") -> nn.Module:
        """Dropout of channels in maps, of single values elsewhere."""
        return nn.Dropout2d(recipe.dropout) if isinstance(layer, Masksembles2d) else nn.Dropout(recipe.dropout)

    def export_options(self, recipe: "Recipe") -> dict[str, Any]:
        """The number of masks that dropout is frozen into."""
        return {"mc_dropout": recipe.submodels}
