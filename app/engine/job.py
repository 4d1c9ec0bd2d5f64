"""A request's rows on their way through the queue and the devices: cut into slices, joined into batches, and
reassembled."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.contract.tensor import all_finite
from app.engine.bare_model import Servable
from app.engine.row_shapes import Feeds
from app.errors import OutputNotFinite
from app.telemetry.tracing import UNTRACED, Trace

Arrays = dict[str, NDArray[Any]]


class Job:
    """The rows of one request for one model. Devices may take them in parts, which come back in any order.

    The queue's lock guards `taken`; all other fields belong to the event loop.

    Args:
        inputs: by name, [B, …] as the model's contract declares; those of a model without one are one row.
        outputs: names of the requested outputs.
        future: receives the outputs [B, …] by name, or the error.
        trace: is told of its runs.
    """

    __slots__ = (
        "_done", "_parts", "future", "inputs", "model", "outputs", "row_values", "rows", "sizes", "submitted", "taken",
        "trace",
    )  # fmt: skip

    def __init__(
        self,
        model: Servable,
        inputs: Feeds,
        outputs: tuple[str, ...],
        future: asyncio.Future[Arrays],
        trace: Trace = UNTRACED,
    ) -> None:
        self.model = model
        self.inputs = inputs
        self.outputs = outputs
        self.future = future
        self.trace = trace
        shapes = model.shapes
        self.rows = len(next(iter(inputs.values()))) if shapes is not None else 1
        self.sizes: tuple[int, ...] = shapes.shared(inputs) if shapes is not None else ()
        """What rows must have in common with these to share their batch."""
        self.row_values = 0 if shapes is None or model.most_values is None else shapes.row_values(inputs)
        self.taken = 0
        self.submitted = time.perf_counter()
        self._parts: dict[int, Arrays] = {}
        self._done = 0

    @property
    def whole(self) -> "Slice":
        """A slice of all its rows."""
        return Slice(self, 0, self.rows)

    def succeed(self, start: int, found: Arrays) -> None:
        """Adds the outputs of some rows; the last ones complete the job. Does nothing if nobody waits any more."""
        if self.future.done():  # cancelled, or failed in another part: setting a result would raise
            return
        rows = len(next(iter(found.values())))
        if rows == self.rows:
            self.future.set_result(found)
            return
        self._parts[start] = found
        self._done += rows
        if self._done == self.rows:
            parts = [part for _, part in sorted(self._parts.items())]  # several devices finish in any order
            self.future.set_result({name: np.concatenate([part[name] for part in parts]) for name in self.outputs})

    def fail(self, error: Exception) -> None:
        """Ends the job with an error. Does nothing if nobody waits any more."""
        if not self.future.done():
            self.future.set_exception(error)


class Slice(NamedTuple):
    """Some rows of a job as part of a batch."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    @property
    def inputs(self) -> Feeds:
        if self.rows == self.job.rows:  # always so for a model without a contract, whose inputs need have no rows
            return self.job.inputs
        return {name: values[self.start : self.stop] for name, values in self.job.inputs.items()}


def halves(batch: Sequence[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Splits a batch of 2 or more rows in two, cutting a slice if the middle lies within it."""
    room = sum(part.rows for part in batch) // 2
    first: list[Slice] = []
    second: list[Slice] = []
    for job, start, stop in batch:
        middle = min(stop, start + room)
        room -= middle - start
        first += [Slice(job, start, middle)] if middle > start else []
        second += [Slice(job, middle, stop)] if stop > middle else []
    return first, second


def join_inputs(batch: Sequence[Slice]) -> Feeds:
    """The inputs of a batch."""
    shapes = batch[0].job.model.shapes
    return batch[0].inputs if shapes is None else shapes.join([part.inputs for part in batch])


def hand_out(batch: Sequence[Slice], found: Arrays) -> None:
    """Gives each slice of a batch its outputs, or an error if they are not finite and the model's must be."""
    finite = batch[0].job.model.finite_outputs
    # the whole batch first: that nearly always settles it
    suspect = [name for name in found if finite and not all_finite(found[name])]
    at = 0
    for job, start, stop in batch:
        own = {name: found[name][at : at + stop - start] for name in job.outputs}
        at += stop - start
        bad = [name for name in suspect if name in own and not all_finite(own[name])]
        if bad:
            job.fail(OutputNotFinite(f"{job.model.name}:{job.model.version} gave NaN or infinity in {bad[0]}"))
        else:
            job.succeed(start, own)
