"""A model that can answer: name, version, contract, and a session on each device."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract import decisions, percentiles, signature
from app.contract.decisions import DecisionPolicy
from app.contract.policy import NO_POLICIES, Policies
from app.contract.schema import Contract, shape_at
from app.contract.tensor import Tensor
from app.engine.device import Device
from app.engine.io_binding import IOBindingSession
from app.engine.row_shapes import Feeds, RowShapes, row_of, sizes_to_try
from app.engine.session import Session
from app.failures import ModelRejected, PolicyMismatch
from app.telemetry.drift import monitored_outputs

_SECONDS_TO_WARM_UP = 60.0  # a graph may loop for ever
_VALUES = 2**20  # enough to use a device well: 4 MiB, and what a network computes from them
_SMALL_SECONDS = 0.5e-3  # less, and a second thread or a thread switch costs more than it gains
_LEAST_ROUNDS, _ROUNDS = 3, 20  # more for a quick model: one run in a few is disturbed, and the shortest counts


@dataclass(frozen=True)
class LoadOptions:
    """How the models of a service are loaded.

    Args:
        device: where they run, on every device of the kind.
        threads: most threads for one batch, on a CPU.
        max_batch: the largest batch that a model will be given, in rows.
        policies: the operator's policies.
    """

    device: Device
    threads: int = 1
    max_batch: int = 64
    policies: Policies = field(default_factory=lambda: NO_POLICIES)


class Model:
    """A model loaded into onnxruntime and warmed up: on a GPU every batch size that it will meet has run once.

    Args:
        sessions: one per device.
        policies: the operator's policies.

    Raises:
        ModelRejected: a first run fails, takes longer than a minute, or gives other shapes than the contract declares.
        PolicyMismatch: the operator's policy does not fit this model.
        StartError: onnxruntime left the chosen device.
    """

    batchable = True
    """Its rows are independent, so several requests may share a batch."""
    checked_inputs = True
    """Inputs were checked against its contract, so a run that fails is not the client's fault."""
    finite_outputs = True
    """NaN or infinity in an output is an error."""

    def __init__(
        self,
        name: str,
        version: int,
        contract: Contract,
        sessions: Sequence[Session],
        policies: Policies = NO_POLICIES,
    ) -> None:
        self.name = name
        self.version = version
        self.contract = contract
        self.signature = signature.of(contract)
        self.policies = policies_for(policies, name, version, contract)
        """The policies for its answers, by the head that they are about."""
        self.tables = {head.name: percentiles.quantile_tables(head) for head in contract.heads}
        """The quantiles of each head's scores."""
        self.outputs = contract.outputs
        self.shapes = RowShapes(contract)
        self.monitored_outputs = monitored_outputs(contract)
        """The outputs that telemetry needs of every row, requested or not."""
        self.sessions = tuple(sessions)
        self.inline_max_rows = 0
        """Most rows that are quick enough to run in the event loop; 0 on a GPU."""
        self._rows = [row_of(contract, sizes) for sizes in sizes_to_try(contract)]
        self._largest = self._rows[-1]
        self._row_bytes = {} if contract.axes else _bytes(contract.outputs, {"B": 1})
        self._pads = any(axis.padding is not None for axis in contract.axes.values())
        values = sum(array.size for array in self._largest.values())
        self.most_values = max(_VALUES, values) if contract.axes else None
        """Most values in a batch of a model with free axes: fewer rows where they are large. None for others."""
        for session in self.sessions:
            self._warm_up(session)
            session.check_provider()  # again: onnxruntime can move a session to the CPU during a run

    def answer_bytes(self, inputs: Feeds, outputs: Collection[str]) -> int:
        """The size of some of its outputs for these inputs [B, …] by name."""
        rows, sizes = len(next(iter(inputs.values()))), self._row_bytes
        if self.contract.axes:
            rows, sizes = 1, _bytes(self.outputs, self.shapes.letters(inputs))
        return rows * sum([size for name, size in sizes.items() if name in outputs])

    def probe(self, index: int) -> None:
        """Runs one row on one of the devices as the warm-up did; raises what onnxruntime raises."""
        self.sessions[index].run(self._rows[0], [self.outputs[0].name], _SECONDS_TO_WARM_UP)

    def seconds_per_row(self) -> float:
        """The shortest time that a single row, of the largest size, takes on the first device."""
        times: list[float] = []
        while len(times) < _LEAST_ROUNDS or (len(times) < _ROUNDS and min(times) < 4 * _SMALL_SECONDS):
            before = time.perf_counter()
            self.sessions[0].run(self._largest, [self.outputs[0].name])
            times.append(time.perf_counter() - before)
        return min(times)

    def _warm_up(self, session: Session) -> None:
        names = [tensor.name for tensor in self.outputs]
        first, *others = self._rows
        batches = [{name: np.repeat(values, rows, axis=0) for name, values in first.items()} for rows in session.sizes]
        padded = [self.shapes.join([first, row]) for row in others] if self._pads else []
        # what the contract claims is tried: a size that fails would fail for every request
        for inputs in [*batches, *others, *padded]:
            rows = len(next(iter(inputs.values())))
            try:
                found = session.run(inputs, names, _SECONDS_TO_WARM_UP)
            except Exception as error:  # see Session
                of = f" of {self._spelled(inputs)}" if self.contract.axes else ""
                raise ModelRejected(f"its first run on {rows} rows{of} fails: {error}") from error
            self._check_shapes(inputs, rows, found)

    def _check_shapes(self, inputs: Feeds, rows: int, found: Mapping[str, NDArray[Any]]) -> None:
        letters = self.shapes.letters(inputs)
        for tensor in self.outputs:
            sizes = shape_at(tensor.shape, letters)
            if found[tensor.name].shape != sizes:  # a declared shape is a claim: only a run proves it
                raise ModelRejected(
                    f"outputs.{tensor.name}: declared {list(sizes)} for {rows} rows, "
                    f"got {list(found[tensor.name].shape)}"
                )

    def _spelled(self, inputs: Feeds) -> str:
        return ", ".join(str(list(values.shape[1:])) for values in inputs.values())


def _bytes(outputs: Sequence[Tensor], letters: Mapping[str, int]) -> dict[str, int]:
    """The size of each output, given those of B and of free axes."""
    return {one.name: prod(shape_at(one.shape, letters)) * np.dtype(one.dtype).itemsize for one in outputs}


def policies_for(policies: Policies, name: str, version: int, contract: Contract) -> dict[str, DecisionPolicy]:
    """The policies for a model's answers, by the head that they are about.

    Raises:
        PolicyMismatch: the operator's policy does not fit this model.
    """
    try:
        return decisions.policies_for(policies, name, contract)
    except ValueError as error:
        raise PolicyMismatch(f"MASKSEMBLES_POLICY: {name}:{version}: {error}") from None


def load(name: str, version: int, contract: Contract, content: bytes, options: LoadOptions) -> Model:
    """Loads a model from the bytes of its file, on every device of the chosen kind.

    On a CPU, a model whose row takes less than half a millisecond gets one thread: sharing so little work costs more
    than it gains, and HTTP needs cores too. A larger one gets all threads. On a GPU, memory is bound to batch sizes,
    unless the model has free axes.

    Raises:
        ModelRejected, PolicyMismatch, StartError: see Model and Session.
    """
    device, policies = options.device, options.policies
    if device.name == "cuda":
        rows = options.max_batch
        if contract.axes:
            free = [Session(content, device, index=index, free=True) for index in range(device.count)]
            return Model(name, version, contract, free, policies)
        sessions = [IOBindingSession(content, device, contract, rows, index) for index in range(device.count)]
        return Model(name, version, contract, sessions, policies)
    free_axes = bool(contract.axes)
    model = Model(name, version, contract, [Session(content, device, free=free_axes)], policies)
    model.inline_max_rows = int(_SMALL_SECONDS / model.seconds_per_row())
    if options.threads == 1 or model.inline_max_rows:
        return model
    del model  # before its successor needs as much memory
    return Model(name, version, contract, [Session(content, device, options.threads, free=free_axes)], policies)
