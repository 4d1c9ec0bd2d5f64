"""Runs work on a file that may mean harm in a forked process with bounded memory, time and files.

The fork has the libraries imported already, so a process for each file costs milliseconds. Only Linux is known to bear
that and to keep to all limits: elsewhere the work runs here, without them.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_FORKS = sys.platform == "linux"  # macOS's own libraries may abort in a fork
_UNTIL_KILLED = 5  # seconds of a processor from SIGXCPU, which says why, to SIGKILL, which does not
_FILES = 64  # descriptors: the libraries open a few
_LAST_WORDS = 2**16  # bytes kept of what a dying process writes to standard error


@dataclass(frozen=True)
class Limits:
    """What the work may take.

    Args:
        memory: bytes of address space beyond what the process has before.
        cpu_seconds: seconds of processor time.
        seconds: seconds on the clock, waiting for a disk included.
    """

    memory: int
    cpu_seconds: int
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What came of the work.

    Args:
        output: what it returned; None if it did not come to an end.
        ended: how it ended then: `memory`, `cpu_seconds` or `seconds` for a limit, otherwise the name of a signal.
        seconds: how long it took on the clock.
        peak: the most memory that it had resident, libraries included, in bytes; 0 where that is not known.
    """

    output: bytes | None
    ended: str | None
    seconds: float
    peak: int


def confine(work: Callable[[], bytes], limits: Limits, guard: int | None = None) -> Outcome:
    """Runs the work, which may raise nothing but MemoryError.

    Args:
        guard: a descriptor at which nothing is to arrive before the work is done. If it closes, whoever wanted the
            result is gone: the work is ended, and so is this process.
    """
    began = time.monotonic()
    if not _FORKS:
        try:
            return Outcome(work(), None, time.monotonic() - began, 0)
        except MemoryError:
            return Outcome(None, "memory", time.monotonic() - began, 0)
    output, words = os.pipe(), os.pipe()
    process = os.fork()
    if process == 0:
        _in_fork(work, limits, output[1], words[1])
    os.close(output[1])
    os.close(words[1])
    with open(output[0], "rb", buffering=0) as pipe, open(words[0], "rb", buffering=0) as dying:
        found, in_time = _collect(pipe.fileno(), began + limits.seconds, guard)
        if found is None:
            os.kill(process, signal.SIGKILL)
        if not in_time:
            # not waited for: a process that a dead mount holds does not even die
            return Outcome(None, "seconds", time.monotonic() - began, 0)
        _, status, usage = os.wait4(process, 0)
        last_words = dying.read(_LAST_WORDS)
    if found is None:
        raise SystemExit(1)
    seconds = time.monotonic() - began
    peak = usage.ru_maxrss * 1024
    if status == 0:
        return Outcome(found, None, seconds, peak)
    return Outcome(None, _how(status, last_words), seconds, peak)


def _in_fork(work: Callable[[], bytes], limits: Limits, output: int, words: int) -> None:
    status = 1
    try:
        os.set_blocking(words, False)  # nobody reads it before the end: what is too much is lost
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(words, 1)  # a library may print; and if this hangs, no pipe of the process above may stay open
        os.dup2(words, 2)
        _set(limits)
        answer = memoryview(work())
        while answer:
            answer = answer[os.write(output, answer) :]
        status = 0
    except BaseException as error:
        os.write(words, type(error).__name__.encode())
    finally:
        os._exit(status)  # without the finalizers of what the process above still uses


def _set(limits: Limits) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, 0)  # no byte goes into any file
    _lower(resource.RLIMIT_NOFILE, _FILES)
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds, _UNTIL_KILLED)
    with suppress(OSError):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, used + limits.memory)
        Path("/proc/self/oom_score_adj").write_text("1000")  # if the machine is short of memory, this goes first


def _lower(limit: int, value: int, more: int = 0) -> None:
    """Lowers a limit, and the hard one to so much above it."""
    _, most = resource.getrlimit(limit)
    soft, hard = (
        (value, value + more) if most == resource.RLIM_INFINITY else (min(value, most), min(value + more, most))
    )
    resource.setrlimit(limit, (soft, hard))


def _collect(pipe: int, until: float, guard: int | None) -> tuple[bytes | None, bool]:
    """All that comes through the pipe, or None if it is not to be waited for; and whether that was in time."""
    found = bytearray()
    watched = [pipe] if guard is None else [pipe, guard]
    while True:
        ready, _, _ = select.select(watched, [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None, False
        if guard in ready:
            return None, True
        if not (part := os.read(pipe, 1 << 16)):
            return bytes(found), True
        found += part


def _how(status: int, last_words: bytes) -> str:
    number = os.waitstatus_to_exitcode(status)
    if number == -signal.SIGXCPU:
        return "cpu_seconds"
    if b"bad_alloc" in last_words or b"MemoryError" in last_words:
        return "memory"
    return signal.Signals(-number).name if number < 0 else f"status {number}"
