"""Several processes that serve on one port: starts them, replaces one that dies, and ends all of them by a signal.

uvicorn has such a supervisor, too. It starts a worker that cannot start for ever, but for one exit status, asks a
thread of a worker whether the worker is well, which says nothing of its event loop, waits without end at the end, and
exits with 0 whatever became of the workers. So this one is our own (docs/decisions/0017).

Workers are spawned, not forked: each is a fresh interpreter, in which no thread of onnxruntime, OpenBLAS or macOS's
Accelerate is missing that a lock waits for. They inherit one listening socket. What one of them had accepted dies with
it; what waits in the socket goes to the others.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType

import uvicorn

from app.failures import StartError
from app.settings import Settings
from app.telemetry import logs
from app.workers.board import Board
from app.workers.place import Place

_log = logging.getLogger(__name__)
_spawn = multiprocessing.get_context("spawn")

_LOOK_SECONDS = 0.5
_PAUSE_SECONDS = 1.0  # between two starts in one place; doubles with each that fails
_TRIES = 5  # starts in a row that fail, before the service ends: an orchestrator sees that, and people read why
_WATCHDOG_SECONDS = 5.0  # in which a worker's own watchdog ends it, and says which run hangs
_BEYOND_SECONDS = 16.0  # beside the time that rows may wait; by then a worker's own watchdog has ended it


class Supervisor:
    """Keeps a process at work in each place until a signal.

    Args:
        door: a bound socket, on which the workers listen.
        folder: for what the workers share.
    """

    def __init__(self, settings: Settings, door: socket.socket, folder: Path) -> None:
        self._settings = settings
        self._door = door
        self._board = Board(folder / "board", settings.workers)
        self._desks = [_Desk(Place(index, settings.workers, folder)) for index in range(settings.workers)]
        self._most_silence = settings.stuck_seconds + settings.stuck_grace_seconds + _WATCHDOG_SECONDS
        self._complete = False
        self._told = False

    def run(self) -> int:
        """Returns the exit status: 0 if all workers ended in order.

        Raises:
            StartError: a worker cannot start: any of them at first, or one that replaces another, time and again.
        """
        for sent in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sent, self._pass_on)
        try:
            while not self._told:
                for desk in self._desks:
                    self._look_at(desk)
                ends = [desk.process.sentinel for desk in self._desks if desk.process is not None]
                wait(ends, _LOOK_SECONDS)
        finally:
            statuses = self._end()
        return 0 if statuses <= {0, -signal.SIGTERM} else 1  # the second: of those that were still starting

    def _look_at(self, desk: "_Desk") -> None:
        """Starts the worker of a place if none is there, and ends one that hangs."""
        index, process, now = desk.place.index, desk.process, time.monotonic()
        if process is None:
            if now >= desk.start_at and not self._told:
                desk.start(self._settings, self._door)
            if self._told:  # while it started
                desk.signal(signal.SIGTERM)
            return
        if process.exitcode is not None:
            self._bury(desk, process)
        elif self._board.silent_for(index) > self._most_silence:
            _log.critical("worker %d has not been heard of for too long, and is killed", index + 1)
            process.kill()
        elif self._board.is_there(index):
            desk.failures = 0
            self._complete = self._complete or all(self._board.is_there(one.place.index) for one in self._desks)

    def _bury(self, desk: "_Desk", process: SpawnProcess) -> None:
        """Makes room for the successor of a worker that ended."""
        index = desk.place.index
        reason = desk.last_words() or f"worker {index + 1} ended with {process.exitcode}"
        if not self._board.is_there(index):
            desk.failures += 1
            if not self._complete or desk.failures >= _TRIES:
                raise StartError(reason)
        self._board.remove(index)
        desk.process = None
        desk.start_at = max(time.monotonic(), desk.started_at + _PAUSE_SECONDS * 2**desk.failures)
        _log.error("worker %d is replaced: %s", index + 1, reason)

    def _pass_on(self, sent: int, _: FrameType | None) -> None:
        """Handles a signal. The first one ends the workers in order; those after it, as they would end one process."""
        first, self._told = not self._told, True
        for desk in self._desks:
            desk.signal(signal.SIGTERM if first else sent)

    def _end(self) -> set[int | None]:
        """Ends the workers that are there; returns their exit statuses."""
        self._door.close()  # or clients would still be let in, to wait for nobody
        if not self._told:
            self._pass_on(signal.SIGTERM, None)
        until = time.monotonic() + self._settings.queue_timeout_ms / 1000 + _BEYOND_SECONDS
        left = [desk.process for desk in self._desks if desk.process is not None]
        for process in left:
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                _log.critical("process %d did not end in time, and is killed", process.pid)
                process.kill()
                process.join()
        return {process.exitcode for process in left}


class _Desk:
    """A place and the process in it, if there is one."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.process: SpawnProcess | None = None
        self.start_at = 0.0
        """Not to be started earlier, by the monotonic clock."""
        self.started_at = 0.0
        self.failures = 0
        """How many processes in a row ended before they listened."""
        self._words: Connection

    def start(self, settings: Settings, door: socket.socket) -> None:
        """Starts a process."""
        self._words, words = _spawn.Pipe(duplex=False)
        self.process = _spawn.Process(target=_work, args=(settings, self.place, door, words))
        self.process.start()
        self.started_at = time.monotonic()
        words.close()  # the process has its own end

    def signal(self, sent: int) -> None:
        """Sends a signal to the process, if it is there."""
        if self.process is not None and self.process.exitcode is None and self.process.pid is not None:
            os.kill(self.process.pid, sent)

    def last_words(self) -> str | None:
        """Why the process could not start, if it said so."""
        try:
            return str(self._words.recv()) if self._words.poll() else None
        except EOFError:
            return None


def supervise(settings: Settings) -> int:
    """Serves with several workers; returns the exit status.

    Raises:
        StartError: they cannot start, or what is set does not go with several.
    """
    _check(settings)
    try:
        folder = tempfile.TemporaryDirectory(prefix="masksembles-")
    except OSError as error:
        raise StartError(f"no temporary folder (TMPDIR) for what workers share: {error}") from error
    with folder as name, ExitStack() as stack:
        if settings.grpc_port is not None:
            settings, holder = _hold_grpc_port(settings)
            stack.enter_context(holder)
        door = uvicorn.Config("", host=settings.host, port=settings.port, log_config=None).bind_socket()
        return Supervisor(settings, door, Path(name)).run()


def _check(settings: Settings) -> None:
    if os.name == "nt":
        raise StartError("MASKSEMBLES_WORKERS: on Windows processes cannot share a port; expected 1")
    if settings.enable_admin:
        raise StartError(
            f"MASKSEMBLES_ENABLE_ADMIN with MASKSEMBLES_WORKERS={settings.workers}: a request to load or unload would "
            "reach one worker of them; expected one worker, or no admin (workers follow the repository by themselves)"
        )


def _hold_grpc_port(settings: Settings) -> tuple[Settings, socket.socket]:
    """Holds the port for gRPC, whose library takes no socket: workers bind it, and the system shares connections out.

    Returns:
        The settings with the port, if the system was to choose it, and the socket that holds it.

    Raises:
        StartError: the port is taken.
    """
    host, port = settings.host, settings.grpc_port
    try:
        # first alone, or another service of the same user that shares its port would go unnoticed
        for shared in (False, True):
            holder = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            holder.bind((host, port))
            port = holder.getsockname()[1]
            if not shared:
                holder.close()
    except OSError as error:
        holder.close()
        raise StartError(f"MASKSEMBLES_GRPC_PORT={port}: {error.strerror}") from error
    return settings.model_copy(update={"grpc_port": port}), holder


def _work(settings: Settings, place: Place, door: socket.socket, words: Connection) -> None:
    """A worker, from its first line to its last."""
    os.setpgid(0, 0)  # a Ctrl-C in the terminal is for the supervisor, which passes it on once
    logs.install(place.index + 1)
    threading.Thread(target=_end_with_parent, name="orphan", daemon=True).start()
    from app.service import open_service, serve  # here: the supervisor needs none of it

    try:
        status = serve(open_service(settings, place), door)
    except StartError as error:
        words.send(str(error))
        status = 1
    sys.exit(status)


def _end_with_parent() -> None:
    """Ends this worker in order when the supervisor is gone: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
