"""What takes long is made once a run, and shared by the workers that pytest-xdist runs tests in."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


class Once:
    """Makes folders that others only read.

    Args:
        shared: where they lie, the same for all workers of a run.
    """

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    @classmethod
    def of_run(cls, config: pytest.Config, factory: pytest.TempPathFactory) -> "Once":
        """For all workers of a run; a worker's own temporary folder lies in that of the run."""
        own = factory.getbasetemp()
        return cls(own.parent if hasattr(config, "workerinput") else own)

    def __call__(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder of that name, filled by the first who asks for it, while others who ask wait.

        Where filling it failed, the next who asks fills it anew.
        """
        made = self._shared / f"once-{name}"
        with made.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released as the file is closed, and so by the end of a worker, too
            if not made.exists():
                making = self._shared / f"making-{name}"
                shutil.rmtree(making, ignore_errors=True)
                making.mkdir()
                make(making)
                making.rename(made)
        return made
