"""Writes requirements.lock: the newest versions within pyproject.toml's ranges that fit together, all extras at once.

A constraints file for pip. It is resolved on the oldest Python that the project takes, since that set installs on every
later one too, and from PyPI alone: another index may offer builds of its own, such as torch 2.13.0+cpu, that nobody
else finds. What only other platforms need is resolved by itself, and keeps its marker.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
HEADER = """\
# Made by `make lock`: what `make`, CI and the image install, as constraints (pip install -c requirements.lock …).
# Resolved on Linux for x86-64; elsewhere pip adds what those platforms need besides.
"""


def main() -> None:
    """Raises SystemExit: this is not the oldest Python, or there is no such set."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = project["requires-python"].removeprefix(">=")
    if oldest != f"{sys.version_info.major}.{sys.version_info.minor}":
        sys.exit(f"error: the lock is made with Python {oldest}, the oldest that the project takes, not {sys.version}")
    extras = project["optional-dependencies"]
    asked = [line for group in (project["dependencies"], *extras.values()) for line in group]
    requirements = [line for line in asked if name_of(line) != project["name"]]  # an extra may hold another one
    markers = {name_of(line): line.partition(";")[2].strip() for line in reversed(requirements)}
    versions = resolve(f"{ROOT}[{','.join(extras)}]")
    del versions[project["name"]]
    elsewhere = [line.partition(";")[0].strip() for line in requirements if name_of(line) not in versions]
    versions |= resolve("--no-deps", *elsewhere)
    lines = [
        f"{name}=={version}" + (f"; {markers[name]}" if markers.get(name) else "") + "\n"
        for name, version in sorted(versions.items())
    ]
    LOCK.write_text(HEADER + "".join(lines))


def name_of(requirement: str) -> str:
    """The package's name as registries compare it: `Foo_bar[x]>=1` → `foo-bar`."""
    return normal(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])


def normal(name: str) -> str:
    """A name in the form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def resolve(*arguments: str) -> dict[str, str]:
    """What pip would install, by name.

    Raises:
        SystemExit: pip finds no versions that fit together, and has said so.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {name: value for name, value in os.environ.items() if name in ("PIP_CERT", "PIP_PROXY")}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip", "--quiet", "install", "--dry-run", "--ignore-installed"]
        found = subprocess.run(  # noqa: S603
            [*command, "--report", str(report), *arguments],
            env={**environment, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            check=False,
        )
        if found.returncode:
            sys.exit(found.returncode)
        packages = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    return {normal(package["name"]): package["version"] for package in packages}


if __name__ == "__main__":
    main()
