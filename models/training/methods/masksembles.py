"""Masksembles (Durasov et al., CVPR 2021, arXiv 2012.08334): one network, trained with N fixed masks."""

from typing import TYPE_CHECKING, Any

from torch import nn

from models.training.methods.method import OneTraining

if TYPE_CHECKING:
    from models.training.recipe import Recipe


class MasksemblesMethod(OneTraining):
    """The masks that a network is built with are kept."""

    label = "Masksembles"
    trains = "masksembles"
    masked = True

    def masks(self, recipe: "Recipe") -> dict[str, Any]:
        """The recipe's settings."""
        return {"submodels": recipe.submodels, "scale": recipe.scale, "align": recipe.align}

    def replace_masks(self, network: nn.Module, recipe: "Recipe") -> None:
        """The masks stay."""
