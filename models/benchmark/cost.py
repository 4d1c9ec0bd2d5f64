"""The cost of an answer: multiply-accumulates, weights, and time, the latter as ratios on this machine only."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx

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

    Models take turns, and each runs its fastest plan for the device, with as many threads as there are cores.
    """
    sessions, shape, dtype = {}, list[int](), "float32"
    for name in dict.fromkeys([single, *names]):
        model, contract, version = artefact.read(repository, name)
        plans = artefact.read_plans(repository, name, version)
        sessions[name] = runtime.session(plans[device][0] if device in plans else model, device)
        shape = [size for size in contract.sizes(contract.inputs[0])[1:] if size is not None]
        dtype = contract.inputs[0].dtype
    ratios: dict[str, dict[str, float]] = {name: {} for name in sessions}
    for batch in BATCHES:
        rows = np.random.default_rng(0).random((batch, *shape))
        times = runtime.race(sessions, (rows * 255 if dtype == "uint8" else rows).astype(dtype), _ROUNDS)
        for name in sessions:
            # by round, then the median: a slow second touches one ratio
            ratios[name][str(batch)] = float(np.median(np.array(times[name]) / np.array(times[single])))
    return ratios
