"""Brings requests to devices: one thread for each takes a batch when it is free, so batches form while it is busy."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from app.engine.bare_model import Servable
from app.engine.client_watch import ClientWatch
from app.engine.job import Arrays, Job, Slice, halves, hand_out, join_inputs
from app.engine.queue import Queue
from app.errors import (
    DeviceFailed,
    DeviceOutOfMemory,
    InvalidInput,
    ModelFailed,
    OutOfMemory,
    QueueFull,
    ServiceError,
)
from app.telemetry.metrics import Telemetry

_log = logging.getLogger(__name__)

_LONGEST_RETRY = 60
_LONGEST_REASON = 300
_SECONDS_TO_END = 5.0


class _Run(NamedTuple):
    """A batch and its outputs, or the error that it ended with."""

    batch: Sequence[Slice]
    found: Arrays | ServiceError


class Batcher:
    """Answers requests through the queue. Started and closed in the event loop that asks.

    Args:
        queue: what waits.
        devices: how many there are; each model has a session on every one.
        telemetry: is told of every batch.
    """

    def __init__(self, queue: Queue, devices: int, telemetry: Telemetry) -> None:
        self._queue = queue
        self._telemetry = telemetry
        self._threads = [
            threading.Thread(target=self._work, args=(index,), name=f"device-{index}", daemon=True)
            for index in range(devices)
        ]
        self._working = devices
        self._seconds_per_row = 0.0
        self._ran_here = False
        self.failed: str | None = None
        """Why no device can work any more."""

    def start(self) -> None:
        """Takes up work, for the running event loop."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Finishes what waits, then ends."""
        self._queue.close()
        for thread in self._threads:
            await asyncio.to_thread(thread.join, _SECONDS_TO_END)

    def refusal(self) -> ServiceError | None:
        """Why a request has no chance, before anything is spent on it: no device left, or not one more row may wait."""
        if self.failed is not None:
            return DeviceFailed(self.failed)
        return self._queue_full() if self._queue.full else None

    async def predict(
        self,
        model: Servable,
        inputs: NDArray[Any] | list[Arrays],
        outputs: tuple[str, ...],
        seconds: float,
        gone: Callable[[], Awaitable[object]] | None = None,
    ) -> Arrays:
        """Inputs [B, …] as the model's contract says → the asked outputs [B, …] by name.

        Of a model without a contract: a list of one dictionary of inputs → lists of one output each.

        Args:
            seconds: for how long the rows may wait for a device.
            gone: what completes when the client goes away.

        Raises:
            QueueFull: at once.
            DeadlineExceeded: not all rows were at work in time; those that were not are not computed.
            ClientGone: `gone` completed; likewise.
            InvalidInput: a model without a contract does not take these inputs.
            OutOfMemory, ModelFailed, OutputNotFinite: the rows themselves failed.
            DeviceFailed: there is no device left.
        """
        if self.failed is not None:
            raise DeviceFailed(self.failed)
        job = Job(model, inputs, outputs, self._loop.create_future())
        if self._nothing_to_gain(job) and self._run_here(job):
            return await job.future
        if not self._queue.put(job):
            raise self._queue_full()
        watch = ClientWatch(job, seconds, gone, self._loop)
        try:
            return await job.future
        finally:
            watch.end()
            if job.taken < job.rows:
                self._queue.drop(job)

    def _nothing_to_gain(self, job: Job) -> bool:
        """Whether another thread would only add the time to wake it and to be woken by it.

        So it is where the model is quick, a device has nothing to do, and nothing else came in with the request.
        """
        return (
            not self._ran_here
            and self._queue.takers > 0
            and self._queue.rows == 0
            and self._queue.delay == 0
            and job.rows <= job.model.inline_max_rows
        )

    def _run_here(self, job: Job) -> bool:
        """Runs a job in the event loop; whether it went well."""
        self._ran_here = True  # until the loop has seen to what else came in
        self._loop.call_soon(self._forget_that_it_ran_here)
        began = time.perf_counter()
        try:
            found = _answers(job.model, 0, [job.whole], job.inputs)
        except Exception:  # a device's thread will find out what is wrong
            return False
        job.taken = job.rows
        self._deliver([_Run([job.whole], found)], began, time.perf_counter() - began)
        return True

    def _forget_that_it_ran_here(self) -> None:
        self._ran_here = False

    def _queue_full(self) -> QueueFull:
        rows = self._queue.rows
        seconds = rows * self._seconds_per_row / max(1, self._working)
        message = f"{rows} rows wait already, of at most {self._queue.most_rows} (MASKSEMBLES_MAX_QUEUE_ROWS)"
        return QueueFull(message, max(1, min(_LONGEST_RETRY, math.ceil(seconds))))

    def _work(self, index: int) -> None:
        """The life of a device's thread."""
        while self._step(index):  # what a step holds is let go before the next one waits: a model may be unloaded
            pass

    def _step(self, index: int) -> bool:
        """Runs the next batch. As little as can be happens here: the event loop needs the interpreter's lock too."""
        batch = self._queue.take()
        if batch is None:
            return False
        began = time.perf_counter()
        try:
            runs = self._run(batch, index)
        except DeviceFailed as error:
            self._lose(index, error.message)
            self._hand_back([_Run(batch, error)], began)
            return False
        except Exception:  # whatever it is, the thread must live and the requests must end
            _log.exception("a batch of %d parts failed", len(batch))
            runs = [_Run(batch, ModelFailed("the service failed on these rows; its log says why"))]
        self._hand_back(runs, began)
        return True

    def _run(self, batch: Sequence[Slice], index: int) -> list[_Run]:
        """Outputs, or what went wrong: what fails together is tried in parts, down to the one that fails."""
        model = batch[0].job.model
        size = sum(part.rows for part in batch)
        try:
            return [_Run(batch, _answers(model, index, batch, join_inputs(batch)))]
        except DeviceOutOfMemory as error:
            self._telemetry.halved()
            if size == 1:
                return [_Run(batch, OutOfMemory(f"{model.name}:{model.version}: {error}"))]
            _log.warning("%s:%d: %s; tried again in halves", model.name, model.version, error)
            return [run for half in halves(batch) for run in self._run(half, index)]
        except Exception as error:  # onnxruntime's own
            if not model.checked_inputs:  # so it may well be the client's fault
                _check_device(model, index, error)
                reason = f"the model fails on these inputs: {_first_line(error)}"
                return [_Run(batch, InvalidInput(reason, "inputs"))]
            _log.exception("%s:%d failed on %d rows", model.name, model.version, size)
            _check_device(model, index, error)
            if len(batch) == 1:
                return [_Run(batch, ModelFailed(f"{model.name}:{model.version} failed on these rows"))]
            return [run for part in batch for run in self._run([part], index)]

    def _hand_back(self, runs: list[_Run], began: float) -> None:
        self._loop.call_soon_threadsafe(self._deliver, runs, began, time.perf_counter() - began)

    def _deliver(self, runs: list[_Run], began: float, seconds: float) -> None:
        """In the event loop: what belongs to whom."""
        try:
            self._share_out(runs, began, seconds)
        except Exception as error:  # no request may be left without an end
            _log.exception("a batch could not be shared out")
            for run in runs:
                for part in run.batch:
                    part.job.fail(ModelFailed(f"the service failed on these rows: {type(error).__name__}"))

    def _share_out(self, runs: list[_Run], began: float, seconds: float) -> None:
        model = runs[0].batch[0].job.model
        series = self._telemetry.series(model.name, model.version, model.contract)
        rows = sum(part.rows for run in runs for part in run.batch)
        self._seconds_per_row += (0.1 if self._seconds_per_row else 1.0) * (seconds / rows - self._seconds_per_row)
        for batch, found in runs:
            for part in batch:
                if part.start == 0:
                    series.waited(began - part.job.submitted)
            if isinstance(found, ServiceError):
                for part in batch:
                    part.job.fail(type(found)(found.message, found.field))
            else:
                own = sum(part.rows for part in batch)
                spent = seconds * own / rows
                series.computed(own, spent, found)
                for part in batch:
                    series.statistics.ran(spent, began - part.job.submitted, part.start == 0)
                hand_out(batch, found)

    def _lose(self, index: int, reason: str) -> None:
        """Goes on without a device; without any, rejects everything."""
        self._working -= 1
        self._telemetry.working(self._working)
        _log.critical("device %d is lost: %s", index, reason)
        if self._working == 0:
            self.failed = reason
            self._queue.close()
            for job in self._queue.empty():
                self._hand_back([_Run([job.whole], DeviceFailed(reason))], job.submitted)


def _check_device(model: Servable, index: int, error: Exception) -> None:
    """Finds out whether it was the rows that failed, or the device.

    Raises:
        DeviceFailed: it can't do any more what it did when the model was loaded.
    """
    try:
        model.probe(index)
    except DeviceOutOfMemory:
        return
    except Exception as again:
        reason = f"device {index} fails at what it did before; restart the service ({_first_line(error)})"
        raise DeviceFailed(reason) from again


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_LONGEST_REASON]


def _answers(model: Servable, index: int, batch: Sequence[Slice], inputs: Any) -> Arrays:
    """The outputs that anybody in a batch wants, and those that telemetry shows of every row."""
    asked = dict.fromkeys([name for part in batch for name in part.job.outputs] + list(model.monitored_outputs))
    found = model.sessions[index].run(inputs, list(asked))
    if any(len(values) != len(inputs) for values in found.values()):
        raise ValueError(f"the graph answered with another number of rows than the {len(inputs)} it was given")
    return found
