"""Notices a device that does not come back from a run, and ends a process that nothing else can end.

A thread of its own looks on, because a run may hang in the event loop, where no timer fires any more. Nobody can cancel
or join a run that hangs, so the process ends by `os._exit`.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple
from weakref import WeakKeyDictionary

from app.engine.bare_model import Servable
from app.errors import DeviceFailed, DeviceStuck, ServiceError
from app.telemetry.metrics import Telemetry

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


class Patience(NamedTuple):
    """How long a run may take.

    Args:
        factor: a run is stuck after so many times what such a run usually takes, ...
        floor: ... but not before so many seconds. Without an earlier run of its like, this alone counts.
        grace: how many seconds later a service without any other device is beyond hope.
    """

    factor: float = 20.0
    floor: float = 30.0
    grace: float = 30.0


_USUAL_PATIENCE = Patience()


class WatchedRun:
    """One run on a device; a context manager around it."""

    __slots__ = ("_watchdog", "began", "index", "limit", "model", "rows", "stuck_since")

    def __init__(self, watchdog: "Watchdog", model: Servable, rows: int, index: int | None) -> None:
        self._watchdog = watchdog
        self.model = model
        self.rows = rows
        self.index = index
        self.began = 0.0
        self.limit = 0.0
        self.stuck_since: float | None = None

    def __enter__(self) -> None:
        self._watchdog.begin(self)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._watchdog.end(self, kind is None)

    @property
    def like(self) -> int:
        """Runs of about as many rows are alike: up to twice as many share a number."""
        return (self.rows - 1).bit_length()

    def says(self, now: float) -> str:
        """What it is doing, for people."""
        place = "the event loop" if self.index is None else f"device {self.index}"
        return (
            f"{place} has not come back from a run of {self.model.name}:{self.model.version} on {self.rows} rows for "
            f"{now - self.began:.0f} seconds"
        )


class Watchdog:
    """Knows which devices work, which are stuck in a run, and which are lost for good.

    A stuck device works again as soon as its run comes back.

    Args:
        devices: number of devices.
        telemetry: shows which are stuck.
        clock: the time in seconds, from any beginning.
        end: ends the process at once; gets the reason.
    """

    def __init__(
        self,
        devices: int,
        telemetry: Telemetry,
        patience: Patience = _USUAL_PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        end: Callable[[str], None] | None = None,
    ) -> None:
        self._devices = devices
        self._telemetry = telemetry
        self._patience = patience
        self._clock = clock
        self._end = end or end_process
        self._lock = threading.Lock()
        self._usual: WeakKeyDictionary[Servable, dict[int, float]] = WeakKeyDictionary()  # seconds by WatchedRun.like
        self._runs: dict[int | None, WatchedRun] = {}
        self._stuck: dict[int, WatchedRun] = {}
        self._lost: dict[int, str] = {}
        self._none_since: float | None = None
        self._told: Callable[[], bool] = lambda: False
        self._seconds_to_end = 0.0
        self._deadline: float | None = None
        self._closed = threading.Event()
        self.working = devices
        """Number of devices that are neither stuck nor lost."""

    def start(self) -> None:
        """Starts to look on."""
        threading.Thread(target=self._look_on, name="watchdog", daemon=True).start()

    def close(self) -> None:
        """Looks no more, unless the process was told to end: then it looks on to the last."""
        if self._deadline is None:
            self._closed.set()

    def end_when(self, told: Callable[[], bool], seconds: float) -> None:
        """Ends the process if it still exists so many seconds after it was told to end."""
        self._told, self._seconds_to_end = told, seconds

    def run(self, model: Servable, rows: int, index: int | None) -> WatchedRun:
        """Watches a run on a device, or with None in the event loop, which runs one at a time as a device does."""
        return WatchedRun(self, model, rows, index)

    def works(self, index: int) -> bool:
        """Whether a device is neither stuck nor lost."""
        return index not in self._stuck and index not in self._lost

    def lose(self, index: int, reason: str) -> bool:
        """Counts a device out for good; returns whether all are."""
        with self._lock:
            self._lost[index] = reason
            self._count()
            return len(self._lost) == self._devices

    def no_device(self) -> ServiceError | None:
        """Why no device works; None while one does."""
        if self.working:
            return None
        with self._lock:
            for run in self._stuck.values():
                return DeviceStuck(run.says(self._clock()))
            return DeviceFailed(list(self._lost.values())[-1]) if self._lost else None

    def hopeless(self) -> ServiceError | None:
        """Why the process should be restarted: for longer than the grace no device has worked."""
        since = self._none_since
        return self.no_device() if since is not None and self._clock() - since >= self._patience.grace else None

    def look(self) -> None:
        """Marks the runs that are stuck, and ends the process if its time has come."""
        now = self._clock()
        with self._lock:
            late = [run for run in self._runs.values() if run.stuck_since is None and now - run.began > run.limit]
            for run in late:
                self._mark(run, now)
            here = self._runs.get(None)
        for run in late:  # without the lock, for which the event loop may wait
            _log.critical("%s and counts as stuck", run.says(now))
        if here is not None and here.stuck_since is not None and now - here.stuck_since >= self._patience.grace:
            self._end(here.says(now))  # nothing is answered any more, health checks included
        if self._deadline is None and self._told():
            self._deadline = now + self._seconds_to_end
        if self._deadline is not None and now >= self._deadline:
            self._end("it was told to end, and what it had to finish did not finish in time")

    def begin(self, run: WatchedRun) -> None:
        """Watches a run from now on."""
        with self._lock:
            usual = self._usual.get(run.model, {}).get(run.like, 0.0)
            run.began = self._clock()
            run.limit = max(self._patience.floor, self._patience.factor * usual)
            self._runs[run.index] = run

    def end(self, run: WatchedRun, succeeded: bool) -> None:
        """Takes note of what a run took; its device works again if it was stuck."""
        with self._lock:
            del self._runs[run.index]
            seconds = self._clock() - run.began
            if succeeded:  # one that fails may fail early
                usual = self._usual.setdefault(run.model, {})
                before = usual.get(run.like, seconds)
                usual[run.like] = before + 0.1 * (seconds - before)
            if run.stuck_since is None:
                return
            if run.index is not None:
                del self._stuck[run.index]
                self._telemetry.stuck(run.index, False)
                self._count()
        place = "the event loop" if run.index is None else f"device {run.index}"
        _log.warning("%s came back after %.0f seconds and works again", place, seconds)

    def _mark(self, run: WatchedRun, now: float) -> None:
        run.stuck_since = now
        if run.index is not None:  # nobody can ask for metrics while the event loop hangs
            self._stuck[run.index] = run
            self._telemetry.stuck(run.index, True)
            self._count()

    def _count(self) -> None:
        self.working = self._devices - len(self._stuck.keys() | self._lost.keys())
        self._telemetry.working(self.working)
        if self.working:
            self._none_since = None
        elif self._none_since is None:
            self._none_since = self._clock()

    def _look_on(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Exception:  # whatever it is, somebody must look on
                _log.exception("the watchdog failed to look")


def end_process(reason: str) -> None:
    """Ends the process at once with status 1: an orderly end would wait for the run that hangs."""
    _log.critical("the process ends: %s", reason)
    os._exit(1)
