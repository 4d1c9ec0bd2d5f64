"""The shipped models that the checks run, each with rows of its own kind."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.repository import model_path
from app.contract.schema import Contract
from app.engine.device import Device
from app.engine.repository import RepositoryScanner
from app.engine.row_shapes import Feeds
from app.engine.session import Session
from tests.gpu import exports
from tests.pictures import digits, pictures
from tests.serving import ROOT

STORE = ROOT / "models" / "repository"
CPU = Device("cpu", "cpu", "the reference")
ROWS_AT_ONCE = 64


@dataclass(frozen=True)
class Served:
    """A model as the service takes it for a kind of device, and rows for it.

    Args:
        path: the file that the device gets.
        portable: the file that the answers are compared with.
        rows: float32 [B, …].
    """

    name: str
    contract: Contract
    path: Path
    portable: Path
    rows: NDArray[Any]

    @property
    def outputs(self) -> list[str]:
        return [tensor.name for tensor in self.contract.outputs]

    def feeds(self, rows: NDArray[Any]) -> Feeds:
        """Rows as its graph takes them."""
        return {self.contract.given.name: rows}

    def reference(self) -> dict[str, NDArray[Any]]:
        """All outputs of the portable file for the rows, on the CPU."""
        session = Session(self.portable.read_bytes(), CPU, threads=2)
        parts = [
            session.run(self.feeds(self.rows[at : at + ROWS_AT_ONCE]), self.outputs)
            for at in range(0, len(self.rows), ROWS_AT_ONCE)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.outputs}


def shipped(device: str) -> list[Served]:
    """A convolutional network, a multilayer perceptron and a regressor."""
    patient = np.array([59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.86, 87])
    patients = patient * np.random.default_rng(0).uniform(0.8, 1.2, (128, patient.size))
    rows = {"fashion-mnist": pictures().inputs[:128], "digits": digits()[:128], "diabetes": patients.astype(np.float32)}
    return [served(STORE, name, device, values) for name, values in rows.items()]


def served(repository: Path, name: str, device: str, rows: NDArray[Any]) -> Served:
    """The highest version of a model in a repository.

    Raises:
        ValueError: it is rejected.
    """
    scanner = RepositoryScanner(repository, device)
    scanner.verify(scanner.scan(only=name)[name])
    entry = scanner.versions(name)[-1]
    if not isinstance(entry.declared, Contract):
        raise ValueError(f"{name}: {entry.rejected}")
    return Served(name, entry.declared, entry.path, model_path(repository, name, entry.number), rows)


def unpacked(folder: Path, name: str, device: str, rows: int = 16) -> Served:
    """A packed export, with random rows; its file stays until the process ends."""
    repository = Path(tempfile.mkdtemp(prefix="export-"))
    atexit.register(shutil.rmtree, repository, ignore_errors=True)
    exports.unpack(folder, name, repository)
    found = served(repository, name, device, np.empty(0))
    sizes = found.contract.row_sizes(found.contract.given, "least")
    values = np.random.default_rng(0).random((rows, *sizes), dtype=np.float32)
    return replace(found, rows=values)
