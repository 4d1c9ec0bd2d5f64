"""Each limit ends the work that goes over it, and is named."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.engine import confinement
from app.engine.confinement import Limits, confine
from tests.serving import ROOT

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are no limits"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # pytest has threads; the work needs none
]
LIMITS = Limits(memory=2**28, cpu_seconds=30, seconds=30)


def kill(number: int) -> Callable[[], bytes]:
    def work() -> bytes:
        faulthandler.disable()  # pytest's
        os.kill(os.getpid(), number)
        return b"survived"

    return work


def spin() -> bytes:
    while True:
        pass


def wait() -> bytes:
    time.sleep(30)
    return b"waited"


def take(size: int) -> Callable[[], bytes]:
    return lambda: b"%d" % len(b"x" * size)


def fail() -> bytes:
    raise ValueError("unforeseen")


@pytest.mark.parametrize("output", [b"", b"found", bytes(10_000_000)])
def test_what_the_work_returns_comes_back(output: bytes) -> None:
    outcome = confine(lambda: output, LIMITS)
    assert outcome.output == output
    assert outcome.ended is None
    assert 0 < outcome.seconds < 30


def test_the_peak_is_that_of_the_work() -> None:
    small, large = (confine(take(size), LIMITS).peak for size in (1, 100 * 2**20))
    assert 0 < small < large
    assert large - small > 90 * 2**20


@pytest.mark.parametrize("size", [2**29, 2**33, 2**46])
def test_memory_is_bounded(size: int) -> None:
    outcome = confine(take(size), LIMITS)
    assert (outcome.output, outcome.ended) == (None, "memory")
    assert outcome.peak < 2**30


@pytest.mark.parametrize(
    ("work", "limits", "ended"),
    [
        (spin, Limits(2**28, cpu_seconds=1, seconds=30), "cpu_seconds"),
        (spin, Limits(2**28, cpu_seconds=30, seconds=0.2), "seconds"),
        (wait, Limits(2**28, cpu_seconds=1, seconds=0.2), "seconds"),
        (kill(signal.SIGSEGV), LIMITS, "SIGSEGV"),
        (kill(signal.SIGABRT), LIMITS, "SIGABRT"),
        (kill(signal.SIGKILL), LIMITS, "SIGKILL"),
        (fail, LIMITS, "status 1"),
    ],
)
def test_it_says_how_the_work_ended(work: Callable[[], bytes], limits: Limits, ended: str) -> None:
    outcome = confine(work, limits)
    assert (outcome.output, outcome.ended) == (None, ended)


def test_no_byte_goes_into_a_file(tmp_path: Path) -> None:
    def work() -> bytes:
        try:
            (tmp_path / "written").write_bytes(b"x")
        except OSError as error:
            return str(error.strerror).encode()
        return b"written"

    assert confine(work, LIMITS).output == b"File too large"
    assert not (tmp_path / "written").exists() or (tmp_path / "written").stat().st_size == 0


def test_few_files_may_be_open() -> None:
    def work() -> bytes:
        try:
            return b"%d" % len([os.open(os.devnull, os.O_RDONLY) for _ in range(100)])
        except OSError as error:
            return str(error.strerror).encode()

    assert confine(work, LIMITS).output == b"Too many open files"


def test_what_it_prints_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> bytes:
        for descriptor in (1, 2):
            for _ in range(100):
                try:
                    os.write(descriptor, b"x" * 4096)
                except BlockingIOError:
                    break
        return b"done"

    assert confine(work, LIMITS).output == b"done"
    assert capfd.readouterr() == ("", "")


def test_the_work_ends_with_whoever_wants_it(tmp_path: Path) -> None:
    program = f"""
import os, time
from pathlib import Path
from app.engine.confinement import Limits, confine

def work():
    Path({str(tmp_path / "begun")!r}).symlink_to(str(os.getpid()))
    time.sleep(60)
    return b""

confine(work, Limits(2**28, 60, 60.0), guard=0)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE) as process:
        until = time.monotonic() + 30
        while not (tmp_path / "begun").is_symlink() and time.monotonic() < until:
            time.sleep(0.01)
        process.stdin.close()
        assert process.wait(10) == 1
    fork = int((tmp_path / "begun").readlink().name)
    with pytest.raises(ProcessLookupError):
        os.kill(fork, 0)


def test_elsewhere_it_works_without_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "_FORKS", False)
    outcome = confine(lambda: b"%d" % os.getpid(), LIMITS)
    assert outcome.output == b"%d" % os.getpid()
    assert outcome.peak == 0

    def fail() -> bytes:
        raise MemoryError

    assert confine(fail, LIMITS).ended == "memory"
