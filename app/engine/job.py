"""A request's rows on their way through the queue and the devices."""

import asyncio
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.engine.bare_model import Servable

Arrays = dict[str, NDArray[Any]]


class Job:
    """Rows of one request, for one model; they may be taken in parts, and come back in any order.

    Its fields but `taken`, which the queue guards, belong to the event loop.

    Args:
        inputs: [B, …] as the model's contract says; of a model without one, a list of one dictionary of arrays.
        outputs: the names of the outputs that are wanted.
        future: gets the outputs [B, …] by name, or the error.
    """

    __slots__ = ("_done", "_parts", "future", "inputs", "model", "outputs", "rows", "submitted", "taken")

    def __init__(
        self,
        model: Servable,
        inputs: NDArray[Any] | list[Arrays],
        outputs: tuple[str, ...],
        future: asyncio.Future[Arrays],
    ) -> None:
        self.model = model
        self.inputs = inputs
        self.outputs = outputs
        self.future = future
        self.rows = len(inputs)
        self.taken = 0
        self.submitted = time.perf_counter()
        self._parts: dict[int, Arrays] = {}
        self._done = 0

    @property
    def whole(self) -> "Slice":
        """All of its rows."""
        return Slice(self, 0, self.rows)

    def succeed(self, start: int, found: Arrays) -> None:
        """Takes in the outputs of some of the rows; the last ones complete it. Nothing, where nobody waits any more."""
        if self.future.done():
            return
        rows = len(next(iter(found.values())))
        if rows == self.rows:
            self.future.set_result(found)
            return
        self._parts[start] = found
        self._done += rows
        if self._done == self.rows:
            parts = [part for _, part in sorted(self._parts.items())]
            self.future.set_result({name: np.concatenate([part[name] for part in parts]) for name in self.outputs})

    def fail(self, error: Exception) -> None:
        """Ends it with an error. Nothing, where nobody waits any more."""
        if not self.future.done():
            self.future.set_exception(error)


class Slice(NamedTuple):
    """Some rows of a job, as a part of a batch."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> int:
        return self.stop - self.start

    @property
    def inputs(self) -> Any:
        return self.job.inputs[self.start : self.stop]
