"""Export options of networks that were trained here."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.data import Dataset
from models.export import ExportOptions
from models.training.methods import METHODS, method_of
from models.training.recipe import Recipe, origin
from models.training.tasks import TASKS


def export_options(recipes: Sequence[Recipe], dataset: Dataset) -> tuple[Tensor, ExportOptions]:
    """An example input and the options for one network, or for the members of a deep ensemble, each with its recipe;
    policies and the compiler's settings are left at their defaults."""
    return torch.from_numpy(dataset.calibration.inputs[:2]), ExportOptions(
        **TASKS[dataset.task].export_options(dataset),
        **METHODS[method_of(recipes)].export_options(recipes[0]),
        calibration=dataset.calibration,
        evaluation=dataset.test,
        data=dataset.name,
        input_shape=dataset.input_shape or None,
        axes=dataset.axes,
        value_range=dataset.value_range,
        unit=dataset.unit,
        features=dataset.features or None,
        symbols=dataset.symbols or None,
        layout=dataset.layout or None,
        colour=dataset.colour,
        normalise=recipes[0].normalise,
        recipe=origin(recipes),
    )
