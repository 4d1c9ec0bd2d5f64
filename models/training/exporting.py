"""What the compiler is told of networks that were trained here."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from models.data import Dataset
from models.training.methods import METHODS, method_of
from models.training.recipe import Recipe, origin
from models.training.tasks import TASKS


def export_arguments(recipes: Sequence[Recipe], networks: Sequence[nn.Module], dataset: Dataset) -> dict[str, Any]:
    """Those of `models.export.export`, of one network or of the members of a deep ensemble, each with its recipe; all
    but the model's name and what is asked of the compiler."""
    return {
        **({"network": networks[0]} if len(networks) == 1 else {"networks": networks}),
        "example_input": torch.from_numpy(dataset.calibration.inputs[:2]),
        **TASKS[dataset.task].export_arguments(dataset),
        **METHODS[method_of(recipes)].export_arguments(recipes[0]),
        "calibration": dataset.calibration,
        "evaluation": dataset.test,
        "data": dataset.name,
        "value_range": dataset.value_range,
        "unit": dataset.unit,
        "layout": dataset.layout or None,
        "colour": dataset.colour,
        "normalise": recipes[0].normalise,
        "recipe": origin(recipes),
    }
