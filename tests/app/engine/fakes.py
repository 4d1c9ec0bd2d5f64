"""Models without onnxruntime, whose sessions do what a test wants."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.contract import schema
from app.contract.tasks import classification
from app.contract.tensor import Tensor
from app.engine.model import Model

Arrays = dict[str, NDArray[Any]]
CONTRACT = schema.Contract(
    method="masksembles",
    num_submodels=2,
    inputs=(Tensor(name="input", dtype="float32", shape=("B", 2), unit="feature"),),
    outputs=classification.outputs(),
    labels=("a", "b"),
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

    def run(self, inputs: NDArray[Any], outputs: Sequence[str], seconds: float | None = None) -> Arrays:
        self.batches.append(inputs)
        self.asked.append(list(outputs))
        self.begun.release()
        assert self.free.wait(30)
        return self._run(inputs, outputs)


class FakeModel:
    """Has the parts of a model that the batcher uses."""

    contract = CONTRACT
    batchable = checked_inputs = finite_outputs = True
    monitored_outputs = ("entropy", "mutual_information")
    inline_max_rows = 0

    def __init__(self, *sessions: FakeSession, name: str = "fake", version: int = 1) -> None:
        self.sessions = sessions
        self.name = name
        self.version = version
        self.healthy = True

    def probe(self, index: int) -> None:
        if not self.healthy:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")


def fake(*sessions: FakeSession, name: str = "fake", version: int = 1) -> Model:
    return cast(Model, FakeModel(*sessions, name=name, version=version))


def rows(*values: float) -> NDArray[np.float32]:
    """A row for each value, that sums to it."""
    return np.array([[value, 0] for value in values], np.float32)


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)
