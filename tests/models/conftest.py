"""What several tests of the workshop share: a network trained in the tests, its export, and rows without a meaning."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.data import Dataset, Split, load
from models.export import ExportOptions, export
from models.networks.mlp import mlp
from models.training.recipe import Recipe
from models.training.trainer import load as load_checkpoint
from models.training.trainer import train
from tests.once import Once


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits")


@pytest.fixture(scope="session")
def digits_network(digits: Dataset, once: Once) -> nn.Module:
    """Trained on the digits in a second."""
    recipe = Recipe(data="digits", network="mlp", input_shape=(1, 8, 8), classes=10, epochs=12, batch_size=64)
    folder = once("digits-network", lambda folder: train(recipe, digits, folder / "digits.pt", progress=False))
    return load_checkpoint(folder / "digits.pt")[1]


@pytest.fixture(scope="session")
def digits_repository(digits: Dataset, digits_network: nn.Module, once: Once) -> Path:
    """A repository with that network, calibrated and exported, as digits:1. Not to be written to: copy it."""
    return once("digits", lambda repository: _export_digits(digits, digits_network, repository))


def _export_digits(digits: Dataset, digits_network: nn.Module, repository: Path) -> None:
    export(
        digits_network,
        torch.from_numpy(digits.test.inputs[:2]),
        ExportOptions(
            labels=digits.classes,
            calibration=digits.calibration,
            evaluation=digits.test,
            data="digits",
            value_range=(0.0, 1.0),
            unit="grey value",
            layout="BCHW",
            colour="grey",
        ),
        name="digits",
        repository=repository,
    )


@pytest.fixture(scope="session")
def tiny_repository(once: Once) -> Path:
    """A repository with an untrained network of 6 features and 3 classes, uncalibrated, as tiny:1."""
    return once("tiny", _export_tiny)


def _export_tiny(repository: Path) -> None:
    torch.manual_seed(0)
    network = mlp((6,), 3, submodels=3, scale=2.0, align=1, hidden=(8,))
    export(
        network,
        torch.rand(2, 6),
        ExportOptions(labels=["a", "b", "c"], unit="feature"),
        name="tiny",
        repository=repository,
    )


@pytest.fixture
def rows() -> Split:
    rng = np.random.default_rng(0)
    return Split(rng.random((50, 6), dtype=np.float32), rng.integers(0, 3, 50))
