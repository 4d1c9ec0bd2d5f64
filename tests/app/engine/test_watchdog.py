"""Which runs count as stuck and what follows from it, by a clock that a test sets."""

import gc
import logging
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import cast

import pytest

from app.engine import watchdog as module
from app.engine.model import Model
from app.engine.watchdog import Patience, Watchdog, WatchedRun
from app.errors import DeviceFailed, DeviceStuck
from app.telemetry.metrics import Telemetry
from tests.app.engine.fakes import FakeModel, FakeSession, fake, until

MODEL, OTHER = fake(FakeSession(), name="a"), fake(FakeSession(), name="b")


class Scene:
    """A watchdog that ends nothing, and its clock."""

    def __init__(self, devices: int = 1) -> None:
        self.now = 100.0
        self.ended: list[str] = []
        self.telemetry = Telemetry()
        self.telemetry.describe({"device": "cpu", "provider": "", "onnxruntime": "", "cuda": ""}, devices, False)
        patience = Patience(factor=10, floor=5, grace=20)
        self.watchdog = Watchdog(devices, self.telemetry, patience, lambda: self.now, self.ended.append)

    def begin(self, index: int | None = 0, rows: int = 1, model: Model = MODEL) -> WatchedRun:
        run = self.watchdog.run(model, rows, index)
        run.__enter__()
        return run

    def ran(self, seconds: float, rows: int = 1, model: Model = MODEL) -> None:
        with self.watchdog.run(model, rows, 0):
            self.now += seconds

    def after(self, seconds: float) -> int:
        """Lets time go by; how many devices work then."""
        self.now += seconds
        self.watchdog.look()
        return self.watchdog.working

    def shows(self, line: str) -> bool:
        return f"\n{line}\n" in self.telemetry.render().decode()


def end(run: WatchedRun) -> None:
    run.__exit__(None, None, None)


def test_the_first_run_of_its_like_has_until_the_floor() -> None:
    scene = Scene()
    scene.begin()
    assert scene.after(5) == 1
    assert scene.after(0.1) == 0


def test_a_slow_run_has_longer_if_such_runs_take_long() -> None:
    scene = Scene()
    scene.ran(2)
    scene.begin()
    assert scene.after(20) == 1
    assert scene.after(0.1) == 0


def test_many_quick_runs_outweigh_one_that_hung_and_came_back() -> None:
    scene = Scene()
    for _ in range(50):
        scene.ran(0.01)
    scene.ran(60)
    for _ in range(50):
        scene.ran(0.01)
    scene.begin()
    assert scene.after(5.1) == 0


@pytest.mark.parametrize(
    ("rows", "model", "works"), [(9, MODEL, 1), (16, MODEL, 1), (17, MODEL, 0), (8, MODEL, 0), (12, OTHER, 0)]
)
def test_its_like_is_of_the_same_model_and_about_as_many_rows(rows: int, model: Model, works: int) -> None:
    scene = Scene()
    scene.ran(2, rows=12)
    scene.begin(rows=rows, model=model)
    assert scene.after(6) == works


def test_a_run_that_fails_at_once_says_nothing_about_its_like() -> None:
    scene = Scene()
    scene.ran(2)
    for _ in range(50):
        with pytest.raises(RuntimeError), scene.watchdog.run(MODEL, 1, 0):
            raise RuntimeError("bad luck")
    scene.begin()
    assert scene.after(19) == 1


def test_a_stuck_device_is_seen_and_works_again_when_its_run_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    assert scene.watchdog.no_device() is None
    assert scene.shows('masksembles_device_stuck{device="0"} 0.0')
    run = scene.begin(rows=3)
    assert scene.after(6) == 0
    assert not scene.watchdog.works(0)
    problem = scene.watchdog.no_device()
    assert isinstance(problem, DeviceStuck)
    assert problem.message == "device 0 has not come back from a run of a:1 on 3 rows for 6 seconds"
    assert scene.shows('masksembles_device_stuck{device="0"} 1.0')
    assert scene.shows("masksembles_devices 0.0")
    scene.after(1)
    end(run)
    assert scene.watchdog.works(0)
    assert scene.watchdog.no_device() is None
    assert scene.shows('masksembles_device_stuck{device="0"} 0.0')
    assert scene.shows("masksembles_devices 1.0")
    assert [record.levelname for record in caplog.records] == ["CRITICAL", "WARNING"]
    assert caplog.messages[1] == "device 0 came back after 7 seconds and works again"


def test_only_after_the_grace_there_is_no_hope() -> None:
    scene = Scene()
    run = scene.begin()
    scene.after(6)
    assert scene.after(19.9) == 0
    assert scene.watchdog.hopeless() is None
    scene.after(0.2)
    assert isinstance(scene.watchdog.hopeless(), DeviceStuck)
    end(run)
    assert scene.watchdog.hopeless() is None
    assert scene.ended == []  # who watches the health checks restarts it


def test_while_another_device_works_there_is_hope() -> None:
    scene = Scene(devices=2)
    run = scene.begin(index=0)
    assert scene.after(60) == 1
    assert scene.watchdog.no_device() is None
    assert [scene.watchdog.works(index) for index in (0, 1)] == [False, True]
    scene.begin(index=1)
    assert scene.after(6) == 0
    assert scene.watchdog.hopeless() is None  # the last one left just now
    scene.after(20)
    assert scene.watchdog.hopeless() is not None
    end(run)
    assert scene.watchdog.no_device() is None


def test_a_lost_device_stays_lost() -> None:
    scene = Scene(devices=2)
    assert not scene.watchdog.lose(1, "device 1 fails")
    run = scene.begin(index=0)
    assert scene.after(6) == 0
    assert isinstance(scene.watchdog.no_device(), DeviceStuck)
    end(run)
    assert scene.watchdog.working == 1
    assert scene.watchdog.lose(0, "device 0 fails, too")
    problem = scene.watchdog.no_device()
    assert isinstance(problem, DeviceFailed)
    assert problem.message == "device 0 fails, too"
    scene.after(21)
    assert isinstance(scene.watchdog.hopeless(), DeviceFailed)


def test_a_run_that_hangs_in_the_event_loop_ends_the_process_after_the_grace() -> None:
    scene = Scene()
    scene.begin(index=None, rows=2)
    scene.after(6)
    scene.after(19)
    assert scene.ended == []
    scene.after(1)
    assert scene.ended == ["the event loop has not come back from a run of a:1 on 2 rows for 26 seconds"]


def test_an_event_loop_that_comes_back_within_the_grace_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    run = scene.begin(index=None)
    scene.after(6)
    end(run)
    scene.after(60)
    assert scene.ended == []
    assert caplog.messages[-1] == "the event loop came back after 6 seconds and works again"


def test_what_was_told_to_end_ends_in_time() -> None:
    scene = Scene()
    told: list[bool] = []
    scene.watchdog.end_when(lambda: bool(told and told.pop()), 7)
    scene.after(60)
    told.append(True)  # a signal is noticed once
    scene.after(0)
    scene.after(6.9)
    assert scene.ended == []
    scene.after(0.2)
    assert scene.ended == ["it was told to end, and what it had to finish did not finish in time"]


def test_it_looks_on_after_whatever_fails_and_to_the_last_once_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[int] = []

    def look(self: Watchdog) -> None:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("bad luck")

    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(Watchdog, "look", look)
    watchdog = Watchdog(1, Telemetry())
    with caplog.at_level(logging.CRITICAL):
        watchdog.start()
        until(lambda: len(looks) > 2)
    watchdog._deadline = 1.0
    watchdog.close()
    before = len(looks)
    until(lambda: len(looks) > before + 1)
    watchdog._deadline = None
    watchdog.close()
    until(lambda: watchdog._closed.is_set())


def test_it_keeps_no_model_alive() -> None:
    scene = Scene()
    model = FakeModel(FakeSession())
    scene.ran(1, model=cast(Model, model))
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_the_process_ends_at_once_and_says_why() -> None:
    code = (
        "import threading, time\nfrom app.engine.watchdog import end_process\nfrom app.telemetry import logs\n"
        "logs.install()\nthreading.Thread(target=time.sleep, args=(600,)).start()\nend_process('it hangs')"
    )
    root = Path(__file__).parents[3]
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 1
    assert '"message": "the process ends: it hangs"' in found.stderr.splitlines()[-1]
