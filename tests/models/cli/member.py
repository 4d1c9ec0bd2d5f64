"""A network of a deep ensemble, quick to train."""

from pathlib import Path

from models.data import Dataset
from models.training import trainer as training
from models.training.recipe import Recipe

MEMBER = Recipe(
    data="digits",
    network="mlp",
    input_shape=(1, 8, 8),
    classes=10,
    method="single",
    submodels=3,
    options={"hidden": [16]},
    epochs=1,
    batch_size=50,
)


def train(recipe: Recipe, digits: Dataset, path: Path) -> None:
    training.train(recipe, digits, path, progress=False)
