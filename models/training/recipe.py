"""The settings of a training run: data, network, method and optimisation."""

import inspect
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import torch
from torch import nn

from app.contract.tasks import TaskName
from models.data.languages import IDS
from models.networks import BUILDERS
from models.training.methods import METHODS
from models.training.methods.method import Trainable
from models.training.tasks import TASKS

_OWN = {"input_shape", "classes", "submodels", "scale", "seed", "align"}
"""Arguments of every network's builder that have a field of their own."""
_OF_IMAGES = BUILDERS.keys() - {"char_cnn", "mlp"}


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the result of a training run, except library versions and the number of threads."""

    data: str
    network: str
    input_shape: tuple[int, ...]
    classes: int
    """K, of classes or labels; for a regressor the number of targets, D."""
    task: TaskName = "classification"
    method: Trainable = "masksembles"
    submodels: int = 4
    scale: float = 2.0
    align: int | None = 16
    dropout: float = 0.1
    """The rate of MC-dropout, in place of masks: of channels in maps, of single values elsewhere."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the network's builder."""
    rows: int | None = None
    """How many rows of the training split to use, from its start; by default all."""
    epochs: int = 20
    batch_size: int = 128
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """`sgd` uses Nesterov momentum of 0.9."""
    learning_rate: float = 2e-3
    weight_decay: float = 5e-2
    milestones: tuple[int, ...] = ()
    """Epochs after which the learning rate is multiplied by `decay`; without them it follows one cycle."""
    decay: float = 0.2
    normalise: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """(mean, std) of the inputs in natural units, for each channel; becomes part of the exported graph."""
    flip: bool = False
    """Mirror half of the images, anew in each epoch."""
    crop: int = 0
    """Shift images by up to this many pixels, anew in each epoch."""
    repeat: bool = False
    """Show every row to all submodels of a masked network in each step, not to one: see `models.training.repetition`"""
    joint: float = 0.0
    """The share of the loss, from 0 to 1, that repeated rows have for their submodels' mean prediction; the rest is the
    mean of the submodels' own losses. More of it rewards submodels that differ (Jeffares et al. 2023, arXiv 2301.11323,
    section 2). For classification."""
    teachers: int = 0
    """Learn the answers of this many networks instead of the labels; see `models.training.teachers`."""
    trim: bool = False
    """Cut the rows [B, T] of a batch where the longest one ends; what follows is padding, 0."""
    seed: int = 0

    @property
    def repeats(self) -> int:
        """The submodels that a row meets in one step."""
        return self.submodels if self.repeat and METHODS[self.method].masked else 1

    def build(self) -> nn.Module:
        """The untrained network: the same weights and masks for the same recipe, whatever the method.

        Raises:
            ValueError: the network takes no such inputs, or has no such option.
        """
        self._check()
        # weights are drawn from torch's generator, masks from `seed` itself
        torch.manual_seed(self.seed)
        task, method = TASKS[self.task], METHODS[self.method]
        network = BUILDERS[self.network](
            self.input_shape, task.outputs(self.classes), seed=self.seed, **method.masks(self), **self.options
        )
        method.replace_masks(network, self)
        return task.complete(network, self)

    def plain(self) -> dict[str, Any]:
        """The recipe as JSON-compatible values."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """The recipe from the values of `plain`."""
        return cls(**{name: _tuples(value) for name, value in values.items()})

    def _check(self) -> None:
        if self.network in _OF_IMAGES and len(self.input_shape) != 3:
            raise ValueError(f"{self.network} takes images [channels, height, width], not {list(self.input_shape)}")
        if not 0 <= self.joint <= 1:
            raise ValueError(f"joint: expected a share from 0 to 1, got {self.joint:g}")
        if self.joint and (self.repeats == 1 or self.task != "classification"):
            raise ValueError("joint: expected a classification and submodels whose rows are repeated")
        known = inspect.signature(BUILDERS[self.network]).parameters.keys() - _OWN
        if unknown := sorted(self.options.keys() - known):
            raise ValueError(f"{self.network} has no option {', '.join(unknown)}; it has {', '.join(sorted(known))}")


# What `train DATA` does when nothing else is asked for.
DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"network": "mlp", "epochs": 60, "batch_size": 64},
    "digit-traits": {"network": "mlp", "epochs": 60, "batch_size": 64},
    "fashion-mnist": {
        "network": "cnn",
        "options": {"first_mask": 1},
        "epochs": 20,
        "learning_rate": 6e-3,
        "flip": True,
        "crop": 1,
        "repeat": True,
    },
    "languages": {
        "network": "char_cnn",
        "options": {"ids": IDS},
        "epochs": 8,
        "batch_size": 256,
        "learning_rate": 4e-3,
        "trim": True,
    },
    "scenes": {
        "network": "unet",
        "options": {"channels": 12, "depth": 3},
        "align": 8,
        "epochs": 16,
        "batch_size": 16,
        "learning_rate": 1e-2,
        "flip": True,
    },
    "sinusoids": {
        "network": "mlp",
        "options": {"hidden": [100], "widen": True},
        "align": 1,
        "epochs": 300,
        "batch_size": 100,
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
    },
    "diabetes": {
        "network": "mlp",
        "options": {"hidden": [64, 64]},
        "epochs": 30,
        "batch_size": 32,
    },
    "cifar-10": {
        "network": "wide_resnet",
        "align": None,
        "epochs": 200,
        "batch_size": 128,
        "optimiser": "sgd",
        "learning_rate": 0.1,
        "weight_decay": 5e-4,
        "milestones": (60, 120, 160),
        "normalise": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        "flip": True,
        "crop": 4,
    },
    "imagenet": {
        "network": "resnet",
        "align": None,
        "options": {"depth": 50},
        "epochs": 90,
        "batch_size": 256,
        "optimiser": "sgd",
        "learning_rate": 0.1,
        "weight_decay": 1e-4,
        "milestones": (30, 60, 80),
        "decay": 0.1,
        "normalise": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "flip": True,
    },
}
"""Settings for CIFAR-10 are those of Zagoruyko & Komodakis (arXiv 1605.07146, section 2), for ImageNet those of He et
al. in the usual shortened form (Goyal et al., arXiv 1706.02677, section 5.1); the Masksembles paper refers to both."""


def _tuples(value: Any) -> Any:
    # JSON has lists alone, and a recipe must equal the one it was written from
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def origin(recipes: Sequence[Recipe]) -> dict[str, Any]:
    """The contract's record of a model's training runs: one, or those of a deep ensemble, which differ in the seed."""
    return recipes[0].plain() | ({"seeds": [recipe.seed for recipe in recipes]} if len(recipes) > 1 else {})
