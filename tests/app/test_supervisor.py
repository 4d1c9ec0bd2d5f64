"""When the supervisor starts, replaces and gives up: with processes that are none. Those of tests/e2e are real."""

import os
import signal
from collections.abc import Callable
from itertools import count, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app import supervisor as module
from app.failures import StartError
from app.settings import Settings
from app.supervisor import Supervisor, supervise


class Process:
    """What the supervisor knows of a process."""

    pids = count(10_000_000)  # none of this machine

    def __init__(self) -> None:
        self.pid, self.sentinel = next(self.pids), object()
        self.exitcode: int | None = None
        self.got: list[int] = []

    def join(self, seconds: float | None = None) -> None:
        if signal.SIGTERM in self.got:
            self.exitcode = 0

    def kill(self) -> None:
        self.exitcode = -9


class Stage:
    """A supervisor of two workers on a clock of its own; in each of its looks the next step of a test is taken.

    Args:
        steps: one for each look; after the last, the service is told to end.
    """

    def __init__(self, patch: pytest.MonkeyPatch, folder: Path, steps: list[Callable[["Stage"], Any]]) -> None:
        self.now = 100.0
        self.started: list[tuple[int, float]] = []
        self.words: dict[int, str] = {}
        self.supervisor = Supervisor(Settings(workers=2), SimpleNamespace(close=lambda: None), folder)  # type: ignore[arg-type]
        self.board = self.supervisor._board
        self.board._clock = lambda: self.now
        self.processes: list[Any] = [None, None]
        left = iter(steps)

        def start(desk: Any, *_: object) -> None:
            desk.process = self.processes[desk.place.index] = Process()
            desk.started_at = self.now
            self.started.append((desk.place.index, self.now))

        def wait(*_: object) -> None:
            self.now += 0.5
            next(left, lambda stage: stage.supervisor._pass_on(signal.SIGTERM, None))(self)

        def kill(pid: int, sent: int) -> None:
            next(process for process in self.processes if process.pid == pid).got.append(sent)

        patch.setattr(module._Desk, "start", start)
        patch.setattr(module._Desk, "last_words", lambda desk: self.words.get(desk.place.index))
        patch.setattr(module, "wait", wait)
        patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now))
        patch.setattr(module, "os", SimpleNamespace(kill=kill, name=os.name))
        patch.setattr(module, "signal", SimpleNamespace(SIGTERM=15, SIGINT=2, signal=lambda *_: None))


def up(*workers: int) -> Callable[[Stage], None]:
    def step(stage: Stage) -> None:
        for worker in workers:
            stage.board.note(worker, True)

    return step


def dies(worker: int, status: int = 1) -> Callable[[Stage], None]:
    return lambda stage: setattr(stage.processes[worker], "exitcode", status)


def nothing(stage: Stage) -> None:
    up(0)(stage)


def test_it_starts_all_and_ends_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = Stage(monkeypatch, tmp_path, [up(0, 1)])
    assert stage.supervisor.run() == 0
    assert stage.started == [(0, 100.0), (1, 100.0)]
    assert [process.got for process in stage.processes] == [[15], [15]]


def test_signals_after_the_first_are_passed_on_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupt(stage: Stage) -> None:
        for _ in range(2):
            stage.supervisor._pass_on(signal.SIGINT, None)

    stage = Stage(monkeypatch, tmp_path, [up(0, 1), interrupt])
    assert stage.supervisor.run() == 0
    assert [process.got for process in stage.processes] == [[15, 2], [15, 2]]


def test_one_that_was_still_starting_ended_in_order_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = Stage(monkeypatch, tmp_path, [up(0)])
    monkeypatch.setattr(Process, "join", lambda self, _: setattr(self, "exitcode", -15))
    assert stage.supervisor.run() == 0


def test_a_signal_that_comes_while_one_starts_reaches_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = Stage(monkeypatch, tmp_path, [up(0)])
    start = module._Desk.start

    def told_meanwhile(desk: Any, *given: Any) -> None:
        if desk.place.index == 1:
            stage.supervisor._pass_on(signal.SIGTERM, None)
        start(desk, *given)

    monkeypatch.setattr(module._Desk, "start", told_meanwhile)
    assert stage.supervisor.run() == 0
    assert [process.got for process in stage.processes] == [[15], [15]]


def test_one_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = Stage(monkeypatch, tmp_path, [up(0, 1)])
    monkeypatch.setattr(Process, "join", lambda *_: None)
    assert stage.supervisor.run() == 1
    assert [process.exitcode for process in stage.processes] == [-9, -9]


@pytest.mark.parametrize(("words", "expected"), [("because", "because"), (None, "worker 2 ended with -11")])
def test_a_first_start_that_fails_ends_the_service_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: str | None, expected: str
) -> None:
    stage = Stage(monkeypatch, tmp_path, [up(0), dies(1, -11)])
    if words:
        stage.words[1] = words
    with pytest.raises(StartError, match=f"^{expected}$"):
        stage.supervisor.run()
    assert stage.processes[0].got == [15]


def test_one_that_dies_is_replaced_but_not_more_than_once_a_second(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    steps = [up(0, 1), dies(1), nothing, nothing, up(0, 1), dies(1), nothing, nothing]
    stage = Stage(monkeypatch, tmp_path, steps)
    assert stage.supervisor.run() == 0
    ones = [at for worker, at in stage.started if worker == 1]
    assert len(ones) == 3
    assert all(later - earlier >= 1 for earlier, later in pairwise(ones))
    assert [worker for worker, _ in stage.started].count(0) == 1


def test_one_that_cannot_be_replaced_ends_the_service_after_some_tries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def dies_at_once(stage: Stage) -> None:
        up(0)(stage)
        stage.processes[1].exitcode = 1

    stage = Stage(monkeypatch, tmp_path, [up(0, 1), *[dies_at_once] * 200])
    stage.words[1] = "the folder is gone"
    with pytest.raises(StartError, match="the folder is gone"):
        stage.supervisor.run()
    ones = [at for worker, at in stage.started if worker == 1]
    pauses = [later - earlier for earlier, later in pairwise(ones)]
    assert len(ones) == 1 + module._TRIES
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 16


def test_one_that_comes_up_has_all_tries_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def round_trip(stage: Stage) -> None:
        up(0)(stage)
        process = stage.processes[1]
        if process.exitcode is None:
            if stage.board.is_there(1):
                process.exitcode = 1
            else:
                stage.board.note(1, True)

    stage = Stage(monkeypatch, tmp_path, [up(0, 1), *[round_trip] * 100])
    assert stage.supervisor.run() == 0
    assert len(stage.started) > 2 + module._TRIES


def test_one_that_says_nothing_is_killed_and_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def much_later(stage: Stage) -> None:
        stage.now += 66
        up(0)(stage)

    stage = Stage(monkeypatch, tmp_path, [up(0, 1), much_later, nothing, nothing])
    assert stage.supervisor.run() == 0
    assert [worker for worker, _ in stage.started] == [0, 1, 1]


def test_it_waits_for_a_start_however_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def much_later(stage: Stage) -> None:
        stage.now += 600
        up(0)(stage)

    stage = Stage(monkeypatch, tmp_path, [up(0), much_later, up(0, 1)])
    assert stage.supervisor.run() == 0
    assert len(stage.started) == 2


def test_on_windows_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "os", SimpleNamespace(name="nt"))
    with pytest.raises(StartError, match="on Windows"):
        supervise(Settings(workers=2))


def test_without_a_temporary_folder_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_folder(**_: object) -> None:
        raise FileNotFoundError("no usable temporary directory found")

    monkeypatch.setattr("tempfile.TemporaryDirectory", no_folder)
    with pytest.raises(StartError, match="TMPDIR"):
        supervise(Settings(workers=2, port=0))
