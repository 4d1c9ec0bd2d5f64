"""The record of a long run: what it found, with the command, the date, the commit and the machine, as JSON."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.serving import ROOT

RESULTS = Path(__file__).parent / "results"
"""The records that docs/endurance.md shows."""


def write(path: Path, command: str, found: dict[str, Any]) -> None:
    """Writes a record, into a folder that need not exist."""
    about = {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else ""),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, **found}, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """A record."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _git(*arguments: str) -> str:
    """What git says; nothing where there is none."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
