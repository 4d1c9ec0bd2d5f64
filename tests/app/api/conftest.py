"""The application in this process, over a repository with a calibrated model of pictures and an uncalibrated one."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.contract.tensor import Tensor
from tests import artefacts, graphs
from tests.serving import serving


@pytest.fixture(scope="session")
def folder(digits_repository: Path, tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(digits_repository / "digits", folder / "digits")
    shutil.copytree(tiny_repository / "tiny", folder / "tiny")
    given = Tensor(name="input", dtype="uint8", shape=("B", 2, 2), unit="pixel")
    artefacts.write(folder, "bytes", *graphs.classifier(given, "ab", method="single"))
    (folder / "tiny" / "2").mkdir()
    (folder / "tiny" / "2" / "model.onnx").write_bytes(b"truncated")
    return folder


@pytest.fixture(scope="session")
def client(folder: Path) -> Iterator[httpx.Client]:
    with serving(folder, default_model="tiny", max_body_bytes=200_000, max_rows=500) as opened:
        yield opened


@pytest.fixture
def repository(tiny_repository: Path, tmp_path: Path) -> Path:
    """A copy of the small repository, to be changed."""
    shutil.copytree(tiny_repository, tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def administered(repository: Path) -> Iterator[httpx.Client]:
    """Over that copy, where models may be loaded and unloaded."""
    with serving(repository, enable_admin=True) as it:
        yield it
