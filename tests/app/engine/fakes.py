"""Models without onnxruntime, whose sessions do what a test wants."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract import schema
from app.contract.axis import FreeAxis
from app.contract.head import Head
from app.contract.repository import model_path
from app.contract.tasks import classification
from app.contract.tensor import Tensor
from app.engine.model import Model
from app.engine.row_shapes import Feeds, RowShapes
from app.engine.verifier import Verification
from app.failures import ModelRejected

Arrays = dict[str, NDArray[Any]]
CONTRACT = schema.Contract(
    method="masksembles",
    num_submodels=2,
    inputs=(Tensor(name="input", dtype="float32", shape=("B", 2), unit="feature"),),
    heads=(Head(labels=("a", "b"), outputs=classification.outputs()),),
    origin=schema.Origin(created="2026-01-01T00:00:00Z", software={}),
)


def answer(inputs: NDArray[Any], outputs: Sequence[str]) -> Arrays:
    """For every output the sum of each row, so that a test can tell whose answer it is."""
    return {name: inputs.sum(axis=1) for name in outputs}


class FakeSession:
    """Notes every batch; can be held up, and can be made to fail."""

    def __init__(self, run: Callable[[NDArray[Any], Sequence[str]], Arrays] = answer) -> None:
        self.batches: list[NDArray[Any]] = []
        self.asked: list[list[str]] = []
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Semaphore(0)
        self._run = run

    def run(self, inputs: Feeds, outputs: Sequence[str], seconds: float | None = None) -> Arrays:
        (given,) = inputs.values()
        self.batches.append(given)
        self.asked.append(list(outputs))
        self.begun.release()
        assert self.free.wait(30)
        return self._run(given, outputs)


class FakeModel:
    """Has the parts of a model that the batcher uses."""

    contract = CONTRACT
    shapes = RowShapes(CONTRACT)
    batchable = checked_inputs = finite_outputs = True
    monitored_outputs = ("entropy", "mutual_information")
    inline_max_rows = 0
    most_values: int | None = None

    def __init__(self, *sessions: FakeSession, name: str = "fake", version: int = 1) -> None:
        self.sessions = sessions
        self.name = name
        self.version = version
        self.healthy = True

    def probe(self, index: int) -> None:
        if not self.healthy:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")


FREE = CONTRACT.model_copy(
    update={
        "inputs": (Tensor(name="input", dtype="float32", shape=("B", "T"), unit="feature"),),
        "axes": {"T": FreeAxis(least=1, most=1000)},
    }
)


class FreeModel(FakeModel):
    """Has rows of any size."""

    contract = FREE
    shapes = RowShapes(FREE)


def fake(*sessions: FakeSession, name: str = "fake", version: int = 1) -> Model:
    return cast(Model, FakeModel(*sessions, name=name, version=version))


class FakeLoads:
    """Stands in for `loader.load`: notes what is loaded, can be held up, and fails where it is told to."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int]] = []
        self.contents: list[bytes] = []
        self.bad: set[tuple[str, int]] = set()
        self.free = threading.Event()
        self.free.set()
        self.most_at_once = 0
        self._at_once = 0
        self._counting = threading.Lock()

    def __call__(self, name: str, number: int, declared: object, content: bytes, *_: object) -> Model:
        with self._counting:
            self.contents.append(content)
            self.begun.append((name, number))
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            time.sleep(0.002)  # long enough for another to begin, were it let
            assert self.free.wait(30)
        finally:
            with self._counting:
                self._at_once -= 1
        if (name, number) in self.bad:
            raise ModelRejected("no memory on the device")
        return fake(FakeSession(), name=name, version=number)


class FakeVerifier:
    """Stands in for `repository.verify`: every file holds CONTRACT, but for those that begin with `bad`; those of some
    models keep it busy until they are released; and `unreadable` ones cannot be read."""

    def __init__(self) -> None:
        self.unreadable: set[Path] = set()
        self.calls: list[list[Path]] = []
        self.at_work: list[str] = []
        self._held: dict[str, threading.Event] = {}

    def hold(self, name: str) -> None:
        """Is not done with a model's files before `release`."""
        self._held[name] = threading.Event()

    def release(self) -> None:
        for event in self._held.values():
            event.set()

    def __call__(self, paths: Iterable[Path], *_: object, **__: object) -> dict[Path, Verification]:
        paths = list(paths)
        self.calls.append(paths)
        names = dict.fromkeys(path.parts[-3] for path in paths)
        self.at_work += names
        for name in names:
            assert name not in self._held or self._held[name].wait(30)
            self.at_work.remove(name)
        return {path: self._read(path) for path in paths}

    def _read(self, path: Path) -> Verification:
        try:
            if path in self.unreadable:
                raise OSError(5, "Input/output error")
            content = path.read_bytes()
        except OSError as error:
            return Verification(f"cannot be read: {error.strerror}", again=2.0)
        if content.startswith(b"bad"):
            return Verification(rejected=content.decode())
        return Verification(declared=CONTRACT, digest=hashlib.sha256(content).hexdigest())


class FakeClock:
    """The monotonic clock of the scanner; stands still until a test sets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("app.engine.stamp.time.monotonic", lambda: self.now)


def put(folder: Path, name: str, version: int, content: bytes = b"a model") -> Path:
    """A file in a repository, as its portable artefact."""
    path = model_path(folder, name, version)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def rows(*values: float) -> Feeds:
    """A row for each value, that sums to it."""
    return {"input": np.array([[value, 0] for value in values], np.float32)}


def until(condition: Callable[[], object], seconds: float = 10, every: float = 0.001) -> None:
    """Waits until it holds, which is looked at after so many seconds each; fails when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(every)
