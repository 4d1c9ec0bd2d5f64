"""What a check finds out, written to a file as it comes, so that a check that is killed leaves what it has."""

import json
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_json(path: Path, content: object) -> None:
    """Replaces a file as a whole: whoever reads it meanwhile sees the old or the new one."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(json.dumps(content, indent=1, default=float) + "\n")
    os.replace(beside, path)


class Figures:
    """The figures of one check, by name, and what it found wrong.

    Args:
        path: the file that always holds all of it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values: dict[str, Any] = {}
        self.failures: list[str] = []
        self._write()

    def record(self, name: str, value: object) -> None:
        self._values[name] = value
        self._write()
        print(f"{name}: {json.dumps(value, default=float)}", flush=True)

    def expect(self, holds: bool, says: str) -> None:
        """Notes a failure; the check goes on."""
        if not holds:
            self.failures.append(says)
            self._write()
            print(f"FAILED {says}", flush=True)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part of the check whose exception is a failure of its own; the check goes on."""
        try:
            yield
        except Exception as error:
            traceback.print_exc()
            self.expect(False, f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:500]}")

    def _write(self) -> None:
        write_json(self._path, {**self._values, "failures": self.failures})
