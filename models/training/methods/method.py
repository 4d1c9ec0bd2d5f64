"""What training, export and the benchmark must know of a method; each kind of method is a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import nn

from models.adopt import replace
from models.layers import layers

if TYPE_CHECKING:
    from models.training.recipe import Recipe

Trainable = Literal["single", "mc-dropout", "masksembles"]
"""Methods that one training makes; a deep ensemble is several trainings of `single` with different seeds."""


class TrainingMethod(ABC):
    """One way to N predictions for a row."""

    label: ClassVar[str]
    """In tables and images."""
    trains: ClassVar[Trainable]
    """The method of each training behind a model."""
    masked: ClassVar[bool] = False
    """Whether networks have masks, whose scale and variant tell models apart."""
    least_submodels: ClassVar[int] = 1
    several: ClassVar[bool] = False
    """Whether a model is several trainings."""
    line: ClassVar[str] = "-"
    """Of Matplotlib, across an image in which masked networks are drawn by their scale."""

    def members(self, recipe: "Recipe") -> "tuple[Recipe, ...]":
        """The trainings behind the model that a recipe asks for."""
        return (recipe,)

    def checkpoints(self, path: Path, submodels: int) -> list[Path]:
        """Their files, where one training would be written to `path`."""
        return [path]

    def check_submodels(self, submodels: int) -> None:
        """Whether a model can have so many.

        Raises:
            ValueError: it cannot.
        """
        if submodels < self.least_submodels:
            raise ValueError(f"submodels: {self.label}: expected at least {self.least_submodels}, got {submodels}")

    @abstractmethod
    def check_members(self, recipes: "Sequence[Recipe]", names: Sequence[object]) -> None:
        """Whether trainings, which are named in messages, make one model.

        Raises:
            ValueError: they do not.
        """

    @abstractmethod
    def masks(self, recipe: "Recipe") -> dict[str, Any]:
        """What a network's builder is told of masks: `submodels`, `scale` and `align`."""

    @abstractmethod
    def replace_masks(self, network: nn.Module, recipe: "Recipe") -> None:
        """Puts what the method has in the place of a built network's masks."""

    def export_options(self, recipe: "Recipe") -> dict[str, Any]:
        """The fields of `ExportOptions` that tell of the submodels; by default none."""
        return {}


class OneTraining(TrainingMethod):
    """Any training makes a model by itself."""

    def check_members(self, recipes: "Sequence[Recipe]", names: Sequence[object]) -> None:
        """There is one."""


class Maskless(OneTraining):
    """Networks are built with one mask that keeps everything, which is then replaced, so that all methods begin with
    the same weights."""

    def masks(self, recipe: "Recipe") -> dict[str, Any]:
        """One, of all channels."""
        return {"submodels": 1, "scale": 1.0, "align": 1}

    def replace_masks(self, network: nn.Module, recipe: "Recipe") -> None:
        """By what stands in for them."""
        replace(network, {layer: self.stand_in(layer, recipe) for layer in layers(network).values()})

    @abstractmethod
    def stand_in(self, layer: nn.Module, recipe: "Recipe") -> nn.Module:
        """For one masked layer."""
