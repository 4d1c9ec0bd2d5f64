"""Brings requests to devices. Each device's thread takes a batch when it is free, so batches form while it is busy."""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from app.engine.bare_model import Servable
from app.engine.client_watch import ClientWatch
from app.engine.job import Arrays, Job, Slice, halves, hand_out, join_inputs
from app.engine.queue import Queue
from app.engine.row_shapes import Feeds
from app.engine.watchdog import Watchdog
from app.errors import DeviceFailed, InvalidInput, ModelFailed, NotReady, OutOfMemory, QueueFull, ServiceError
from app.failures import DeviceOutOfMemory
from app.telemetry.metrics import Telemetry
from app.telemetry.tracing import UNTRACED, Trace

_log = logging.getLogger(__name__)

STOPPING = "the service is stopping: what it accepted is finished"

_LONGEST_RETRY = 60  # seconds in Retry-After, whatever the estimate says
_LONGEST_REASON = 300  # characters of onnxruntime's own words in an answer
_SECONDS_TO_END = 5.0  # then a thread that hangs in a run is left behind


class _Run(NamedTuple):
    """A batch with its outputs, or with the error that it ended with."""

    batch: Sequence[Slice]
    found: Arrays | ServiceError


class Batcher:
    """Answers requests through the queue. The event loop that calls it starts and closes it.

    Args:
        queue: the rows that wait.
        devices: number of devices; each model has a session on every one.
        telemetry: counts every batch.
        watchdog: knows which devices work; one with the usual patience by default.
    """

    def __init__(self, queue: Queue, devices: int, telemetry: Telemetry, watchdog: Watchdog | None = None) -> None:
        self._queue = queue
        self._telemetry = telemetry
        self.watchdog = watchdog or Watchdog(devices, telemetry)
        self._threads = [
            threading.Thread(target=self._work, args=(index,), name=f"device-{index}", daemon=True)
            for index in range(devices)
        ]
        self._seconds_per_row = 0.0
        self._ran_here = False  # in this pass of the event loop

    def start(self) -> None:
        """Starts the devices' threads, which answer into the running event loop."""
        self._loop = asyncio.get_running_loop()
        self.watchdog.start()
        for thread in self._threads:
            thread.start()

    async def close(self) -> None:
        """Finishes the rows that wait, then ends the threads; nobody waits for one that is stuck in a run."""
        self._queue.close()
        end = time.monotonic() + _SECONDS_TO_END
        for index, thread in enumerate(self._threads):
            seconds = end - time.monotonic() if self.watchdog.works(index) else 0.0
            await asyncio.to_thread(thread.join, max(0.0, seconds))  # their answers need the loop
        self.watchdog.close()

    @property
    def left_behind(self) -> list[str]:
        """The names of the threads that have not ended; after `close`, those that a run holds."""
        return [thread.name for thread in self._threads if thread.is_alive()]

    @property
    def room(self) -> int:
        """How many more rows may wait."""
        return max(0, self._queue.most_rows - self._queue.rows)

    def refusal(self) -> ServiceError | None:
        """Why a request is bound to fail, known before its body is read: no device works, the queue is full, or the
        service is stopping."""
        full = self._queue.full or self._queue.closed
        return self.watchdog.no_device() or (self._not_admitted() if full else None)

    async def predict(
        self,
        model: Servable,
        inputs: Feeds,
        outputs: tuple[str, ...],
        seconds: float,
        gone: Callable[[], Awaitable[object]] | None = None,
        trace: Trace = UNTRACED,
    ) -> Arrays:
        """Inputs [B, …] by name, as the model's contract declares them → the requested outputs [B, …] by name.

        For a model without a contract: inputs of any shape → lists with one output each.

        Args:
            seconds: how long the rows may wait for a device and run on it.
            gone: completes when the client disconnects.
            trace: is told when the rows wait and run.

        Raises:
            QueueFull: too many rows wait; raised at once.
            NotReady: the batcher is closed.
            DeadlineExceeded: not all rows were computed in time; those that no device has taken are not computed.
            ClientGone: `gone` completed; rows that no device has taken are not computed.
            InvalidInput: a model without a contract rejects these inputs.
            OutOfMemory, ModelFailed, OutputNotFinite: the rows themselves failed.
            DeviceFailed, DeviceStuck: no device works.
        """
        if (problem := self.watchdog.no_device()) is not None:
            raise problem
        job = Job(model, inputs, outputs, self._loop.create_future(), trace)
        trace.queued(job.rows)
        watch: ClientWatch | None = None
        try:
            if not (self._nothing_to_gain(job) and self._run_here(job)):
                if not self._queue.put(job):
                    raise self._not_admitted()
                watch = ClientWatch(job, seconds, gone, self._loop)
            return await job.future
        finally:
            if watch is not None:
                watch.end()
                if job.taken < job.rows:  # cancelled, too late, or failed in an earlier part
                    self._queue.drop(job)
            # an error's traceback holds this frame, and the job's future the error: a cycle, which would keep the model
            # in memory, perhaps long replaced, until the collector comes
            del job, watch

    def _nothing_to_gain(self, job: Job) -> bool:
        """Whether handing the job to a device's thread would only add the time of two thread switches.

        This is so when the model is quick, a device is idle, and no other request came in at the same time.
        """
        return (  # takers and rows without the queue's lock: a stale number costs time, nothing else
            not self._ran_here  # a second one in the same pass can share a batch with those after it
            and self._queue.takers > 0
            and self._queue.rows == 0
            and self._queue.delay == 0  # with a delay the rows are to wait for others
            and job.rows <= job.model.inline_max_rows
            and self.watchdog.works(0)
        )

    def _run_here(self, job: Job) -> bool:
        """Runs a job in the event loop; returns whether it succeeded."""
        self._ran_here = True  # until the loop has handled what else came in
        self._loop.call_soon(self._forget_that_it_ran_here)
        began = time.perf_counter()
        job.trace.taken(began)
        try:
            with self.watchdog.run(job.model, job.rows, None):
                found = _answers(job.model, 0, [job.whole])  # device 0: quick models exist on CPUs only
        except Exception:  # the queue's way finds out what is wrong, and can halve
            return False
        job.taken = job.rows
        self._deliver([_Run([job.whole], found)], began, time.perf_counter() - began)
        return True

    def _forget_that_it_ran_here(self) -> None:
        self._ran_here = False

    def _not_admitted(self) -> ServiceError:
        if self._queue.closed:  # to try again here in some seconds would be in vain
            return NotReady(STOPPING)
        rows = self._queue.rows
        seconds = rows * self._seconds_per_row / max(1, self.watchdog.working)
        message = f"{rows} rows wait already, of at most {self._queue.most_rows} (MASKSEMBLES_MAX_QUEUE_ROWS)"
        return QueueFull(message, max(1, min(_LONGEST_RETRY, math.ceil(seconds))))

    def _work(self, index: int) -> None:
        """The loop of a device's thread."""
        while self._step(index):  # a frame of its own: locals must not keep an unloaded model alive while it waits
            pass

    def _step(self, index: int) -> bool:
        """Runs the next batch. It does as little as possible: the event loop needs the interpreter's lock too."""
        batch = self._queue.take()
        if batch is None:
            return False
        began = time.perf_counter()
        for part in batch:
            part.job.trace.taken(began)
        try:
            runs = self._run(batch, index)
        except DeviceFailed as error:
            self._lose(index, error.message)
            self._hand_back([_Run(batch, error)], began)
            return False
        except Exception:  # whatever it is, the thread must live on and the requests must end
            _log.exception("a batch of %d parts failed", len(batch))
            runs = [_Run(batch, ModelFailed("the service failed on these rows; its log says why"))]
        self._hand_back(runs, began)  # the loop hands out the outputs: futures are not thread-safe
        return True

    def _run(self, batch: Sequence[Slice], index: int) -> list[_Run]:
        """Outputs or errors. A batch that fails is tried again in parts, down to the request that fails."""
        model = batch[0].job.model
        size = sum(part.rows for part in batch)
        try:
            with self.watchdog.run(model, size, index):
                return [_Run(batch, _answers(model, index, batch))]
        except DeviceOutOfMemory as error:
            self._telemetry.halved()
            if size == 1:
                return [_Run(batch, OutOfMemory(f"{model.name}:{model.version}: {error}"))]
            _log.warning("%s:%d: %s; tried again in halves", model.name, model.version, error)
            return [run for half in halves(batch) for run in self._run(half, index)]
        except Exception as error:  # onnxruntime's own
            if not model.checked_inputs:  # it may be the client's fault: no trace in the log
                self._check_device(model, index, error)
                reason = f"the model fails on these inputs: {_first_line(error)}"
                return [_Run(batch, InvalidInput(reason, "inputs"))]
            _log.exception("%s:%d failed on %d rows", model.name, model.version, size)
            self._check_device(model, index, error)  # before any retry: CUDA errors stick, so every part would fail
            if len(batch) == 1:
                return [_Run(batch, ModelFailed(f"{model.name}:{model.version} failed on these rows"))]
            return [run for part in batch for run in self._run([part], index)]

    def _check_device(self, model: Servable, index: int, error: Exception) -> None:
        """Finds out whether the rows failed or the device.

        Raises:
            DeviceFailed: the device no longer does what it did when the model was loaded.
        """
        try:
            with self.watchdog.run(model, 1, index):
                model.probe(index)
        except DeviceOutOfMemory:  # full, not broken
            return
        except Exception as again:
            reason = f"device {index} fails at what it did before; restart the service ({_first_line(error)})"
            raise DeviceFailed(reason) from again

    def _hand_back(self, runs: list[_Run], began: float) -> None:
        self._loop.call_soon_threadsafe(self._deliver, runs, began, time.perf_counter() - began)

    def _deliver(self, runs: list[_Run], began: float, seconds: float) -> None:
        """Gives each request its outputs or its error; runs in the event loop."""
        try:
            self._share_out(runs, began, seconds)
        except Exception as error:  # no request may be left waiting
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
            own = sum(part.rows for part in batch)
            code = found.code if isinstance(found, ServiceError) else None
            for part in batch:
                part.job.trace.ran(began, seconds, part.rows, own, code)
                if part.start == 0:  # a request in parts waited once
                    series.waited(began - part.job.submitted)
            if isinstance(found, ServiceError):
                for part in batch:  # an error of its own for each: raising one changes its traceback
                    part.job.fail(type(found)(found.message, found.field))
            else:
                spent = seconds * own / rows
                series.computed(own, spent, found)
                for part in batch:
                    series.statistics.ran(spent, began - part.job.submitted, part.start == 0)
                hand_out(batch, found)

    def _lose(self, index: int, reason: str) -> None:
        """Goes on without a device; without any, rejects all requests."""
        _log.critical("device %d is lost: %s", index, reason)
        all_lost = self.watchdog.lose(index, reason)  # first: a request that finds the queue closed learns the reason
        if all_lost:
            self._queue.close()
            for job in self._queue.empty():
                self._hand_back([_Run([job.whole], DeviceFailed(reason))], job.submitted)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:_LONGEST_REASON]


def _answers(model: Servable, index: int, batch: Sequence[Slice]) -> Arrays:
    """The outputs that any request of a batch wants, and those that telemetry monitors for every row."""
    asked = dict.fromkeys([name for part in batch for name in part.job.outputs] + list(model.monitored_outputs))
    found = model.sessions[index].run(join_inputs(batch), list(asked))
    rows = sum(part.rows for part in batch)
    if any(len(values) != rows for values in found.values()):  # a job short of rows would never complete
        raise ValueError(f"the graph answered with another number of rows than the {rows} it was given")
    return found
