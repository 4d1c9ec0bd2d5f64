"""One fleet for all tests that need no other: three replicas over a repository with the shipped model of digits."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scale.fleet import Fleet, fleet
from tests.serving import ROOT

REPLICAS = 3


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    folder.chmod(0o755)  # for the user of the container
    shutil.copytree(ROOT / "models" / "repository" / "digits", folder / "digits")
    return folder


@pytest.fixture(scope="session")
def replicas(repository: Path) -> Iterator[Fleet]:
    with fleet(REPLICAS, repository) as found:
        yield found
