"""The cost of an answer: multiply-accumulates, weights, and time, the latter as ratios on this machine only."""

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.schema import Contract
from models import artefact, runtime

BATCHES = (1, 16, 64)
_ROUNDS = 15


def macs(contracts: Sequence[Contract]) -> int | None:
    """Multiply-accumulates for one row, all submodels together, under the cheapest of a model's plans; None if the
    contracts do not say."""
    return min((contract.compilation.macs for contract in contracts if contract.compilation), default=None)


def weights(model: onnx.ModelProto) -> int:
    """The number of weights in a file."""
    return sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)


def seconds(repository: Path, single: str, names: Iterable[str], device: str = "cpu") -> dict[str, dict[str, float]]:
    """Seconds of each model relative to a single network, by name and batch size: the median over rounds.

    Rows are drawn at random, free axes of the least size. Models take turns, and each runs its fastest plan for the
    device, with as many threads as there are cores.
    """
    return _ratios(repository, single, names, device, time.perf_counter)


def processor_seconds(repository: Path, single: str, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """The same on the CPU with one thread, in its processor time: other work on the machine hardly changes it."""
    with runtime.one_thread():
        return _ratios(repository, single, names, "cpu", time.thread_time)


def _ratios(
    repository: Path, single: str, names: Iterable[str], device: str, clock: Callable[[], float]
) -> dict[str, dict[str, float]]:
    sessions, batches = {}, dict[int, dict[str, NDArray[Any]]]()
    for name in dict.fromkeys([single, *names]):
        model, contract, version = artefact.read(repository, name)
        plans = artefact.read_plans(repository, name, version)
        sessions[name] = runtime.session(plans[device][0] if device in plans else model, device)
        batches = {batch: _drawn(contract, batch) for batch in BATCHES}
    ratios: dict[str, dict[str, float]] = {name: {} for name in sessions}
    for batch in BATCHES:
        times = runtime.race(sessions, batches[batch], _ROUNDS, clock)
        for name in sessions:
            # by round, then the median: a slow second touches one ratio
            ratios[name][str(batch)] = float(np.median(np.array(times[name]) / np.array(times[single])))
    return ratios


def _drawn(contract: Contract, batch: int) -> dict[str, NDArray[Any]]:
    """A batch of rows for each input by name: whole numbers from the declared range, others in [0, 1)."""
    random = np.random.default_rng(0)
    rows = {}
    for given in contract.inputs:
        sizes, (low, high) = (batch, *contract.row_sizes(given, "least")), given.limits
        whole = given.dtype != "float32"
        values = random.integers(int(low), int(high), sizes, endpoint=True) if whole else random.random(sizes)
        rows[given.name] = values.astype(given.dtype)
    return rows
