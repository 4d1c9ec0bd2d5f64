"""What training, export and benchmark need to know about a method; each method has a file in this folder."""

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
"""Methods of a single training run; a deep ensemble is several runs of `single` with different seeds."""


class TrainingMethod(ABC):
    """One way to get N predictions for a row."""

    label: ClassVar[str]
    """Name in tables and images."""
    trains: ClassVar[Trainable]
    """The method of each training run behind a model."""
    masked: ClassVar[bool] = False
    """Whether networks have masks, so that models differ in scale and variant."""
    least_submodels: ClassVar[int] = 1
    several: ClassVar[bool] = False
    """Whether a model takes several training runs."""
    line: ClassVar[str] = "-"
    """Matplotlib's line style in plots that show masked networks by scale."""

    def members(self, recipe: "Recipe") -> "tuple[Recipe, ...]":
        """The training runs behind the model that a recipe describes."""
        return (recipe,)

    def checkpoints(self, path: Path, submodels: int) -> list[Path]:
        """Their files, if a single training run would be written to `path`."""
        return [path]

    def check_submodels(self, submodels: int) -> None:
        """Checks that a model can have this many submodels.

        Raises:
            ValueError: it cannot.
        """
        if submodels < self.least_submodels:
            raise ValueError(f"submodels: {self.label}: expected at least {self.least_submodels}, got {submodels}")

    @abstractmethod
    def check_members(self, recipes: "Sequence[Recipe]", names: Sequence[object]) -> None:
        """Checks that training runs make one model; `names` identify them in messages.

        Raises:
            ValueError: they do not.
        """

    @abstractmethod
    def masks(self, recipe: "Recipe") -> dict[str, Any]:
        """The mask arguments of a network's builder: `submodels`, `scale` and `align`."""

    @abstractmethod
    def replace_masks(self, network: nn.Module, recipe: "Recipe") -> None:
        """Replaces the masks of a built network by what the method uses."""

    def export_options(self, recipe: "Recipe") -> dict[str, Any]:
        """The fields of `ExportOptions` about submodels; by default none."""
        return {}


class OneTraining(TrainingMethod):
    """Every training run makes a model on its own."""

    def check_members(self, recipes: "Sequence[Recipe]", names: Sequence[object]) -> None:
        """A single run always does."""


class Maskless(OneTraining):
    """Networks are built with one mask that keeps everything, which is then replaced, so that all methods start from
    the same weights."""

    def masks(self, recipe: "Recipe") -> dict[str, Any]:
        """One mask that keeps all channels."""
        return {"submodels": 1, "scale": 1.0, "align": 1}

    def replace_masks(self, network: nn.Module, recipe: "Recipe") -> None:
        """Each by its stand-in."""
        replace(network, {layer: self.stand_in(layer, recipe) for layer in layers(network).values()})

    @abstractmethod
    def stand_in(self, layer: nn.Module, recipe: "Recipe") -> nn.Module:
        """The replacement of one masked layer."""
