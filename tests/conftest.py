"""What tests share: how hypothesis draws, what makes things once, and small models. Nothing here needs torch."""

from pathlib import Path

import pytest

from app.contract.schema import SCHEMA_VERSION
from app.contract.tensor import Tensor
from tests import artefacts, graphs
from tests.once import Once
from tests.profiles import load_profile
from tests.serving import ROOT

load_profile()


@pytest.fixture(scope="session")
def once(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes what takes long once a run, for all its workers."""
    return Once.of_run(pytestconfig, tmp_path_factory)


@pytest.fixture(scope="session")
def digits_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the shipped model of digits, calibrated, as digits:1. Not to be written to: copy it."""
    folder = tmp_path_factory.mktemp("digits")
    model, contract = artefacts.read(ROOT / "models" / "repository", "digits", 3)
    (given,) = contract.inputs
    changed = {"schema_version": SCHEMA_VERSION, "inputs": (given.model_copy(update={"unit": "grey value"}),)}
    artefacts.write(folder, "digits", model, contract.model_copy(update=changed))
    return folder


@pytest.fixture(scope="session")
def tiny_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a model of 6 features, 3 classes and 3 submodels, uncalibrated, as tiny:1."""
    folder = tmp_path_factory.mktemp("tiny")
    given = Tensor(name="input", dtype="float32", shape=("B", 6), unit="feature")
    artefacts.write(folder, "tiny", *graphs.classifier(given, "abc", submodels=3))
    return folder
