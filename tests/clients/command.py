"""Other people's programs, as a user would run them."""

import os
import subprocess
from pathlib import Path


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints. It has to succeed, and finds the programs beside it first, as in an activated venv."""
    beside = Path(command[0]).parent
    environment = {**os.environ, "PATH": f"{beside}{os.pathsep}{os.environ['PATH']}"}
    found = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout
