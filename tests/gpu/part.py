"""A part of a session: a process with a time of its own, whose failure is its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.serving import ROOT

_TAIL = 3000  # characters of what it printed
_LOOK = 0.3  # seconds between two looks at it
_TO_FINISH = 6.0  # for a figure that is under way
_TO_TELL = 2.0  # after SIGABRT, for the place where it hung
_TO_DIE = 5.0  # after SIGKILL; one that hangs in the driver is left behind


@dataclass(frozen=True)
class Part:
    """One part: a module and its arguments; in these, FIGURES stands for the file that it writes, and
    BUDGET for the seconds that it has.

    Args:
        seconds: its budget.
    """

    name: str
    seconds: float
    command: tuple[str, ...]

    def within(self, seconds: float) -> "Part":
        """The same with a smaller budget; BUDGET in its arguments stands for what it has, less the time to end."""
        words = tuple(str(max(1.0, seconds - _TO_FINISH)) if word == "BUDGET" else word for word in self.command)
        return replace(self, seconds=seconds, command=words)

    def run(self, log: Path, see: Callable[[dict[str, Any]], None]) -> None:
        """Runs it within its budget, appends what it prints to a log, and shows `see` again and again how it stands."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            figures, said = Path(folder) / "figures.json", Path(folder) / "said"
            command = [str(figures) if word == "FIGURES" else word for word in self.command]

            def show(state: str) -> None:
                text = said.read_text(errors="replace")
                now = {"state": state, "seconds": round(time.monotonic() - began, 1), "budget": self.seconds}
                see({**now, "figures": _read(figures), "tail": text[-_TAIL:] if state != "passed" else text[-300:]})

            with said.open("w") as output:
                # a group of its own, so that its children end with it
                process = subprocess.Popen(
                    [sys.executable, "-m", *command], cwd=ROOT, stdout=output, stderr=output, start_new_session=True
                )
                try:
                    while process.poll() is None and time.monotonic() < began + self.seconds:
                        show("running")
                        time.sleep(_LOOK)
                    timely = process.poll() is not None
                    if not timely:
                        process.send_signal(signal.SIGABRT)
                        _wait(process, _TO_TELL)
                finally:
                    _kill_group(process)
            show("timed out" if not timely else "failed" if process.returncode else "passed")
            with log.open("a") as whole:
                whole.write(f"== {self.name}\n{said.read_text(errors='replace')}\n")


def _read(path: Path) -> dict[str, Any]:
    """The figures that a part wrote so far."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # nothing is left of it
        return
    _wait(process, _TO_DIE)
