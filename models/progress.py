"""Shows that a step of a command is at work, once it takes more than two seconds.

On a terminal that is a line with the time and, where rows are counted, how many are done; it goes away with the step.
Elsewhere, as in the log of a CI job, it is a plain line, again after a minute. Where the log of `models` is off, as in
a program that calls an export, there is nothing. No torch here.
"""

import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tqdm import tqdm

_AFTER, _EVERY = 2.0, 0.5
"""Seconds until a step is shown, and between its changes."""
_AGAIN = 60.0
"""Seconds between lines, where there is no terminal."""

_log = logging.getLogger(__name__)


@dataclass
class Step:
    """A step that is at work, and how much of it is done."""

    name: str
    done: int = 0
    total: int = 0
    """Rows; 0 where none are counted."""

    def __str__(self) -> str:
        return f"{self.name}: {self.done} of {self.total} rows" if self.total else f"{self.name} …"


_steps: list[Step] = []
"""Those at work, the innermost last."""


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Shows a step while its block runs; the steps inside it are its own and not shown."""
    made = Step(name)
    if _steps or not _log.isEnabledFor(logging.INFO):
        yield made
        return
    over = threading.Event()
    shown = threading.Thread(target=_show, args=(made, over), daemon=True)
    shown.start()
    _steps.append(made)
    try:
        yield made
    finally:
        _steps.remove(made)
        over.set()
        shown.join()


def count(done: int, total: int) -> None:
    """Says of the step at work, if there is one, how many of its rows are done."""
    if _steps:
        _steps[-1].done, _steps[-1].total = done, total


def _show(made: Step, over: threading.Event) -> None:
    if over.wait(_AFTER):
        return
    if not sys.stderr.isatty():
        _log.info("%s", made)
        while not over.wait(_AGAIN):
            _log.info("%s", made)
        return
    with tqdm(desc=str(made), bar_format="{desc} [{elapsed}]", leave=False, dynamic_ncols=True) as bar:
        bar.start_t -= _AFTER
        while not over.wait(_EVERY):
            bar.set_description_str(str(made))
