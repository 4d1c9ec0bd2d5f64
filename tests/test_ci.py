"""What CI, its bots and the hooks before a commit run is there to be run."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.serving import ROOT


def targets_before(what_follows: str) -> set[str]:
    """The Makefile's targets whose line goes on like this; a line may have several."""
    lines = re.findall(rf"^([a-z][a-z -]*):{what_follows}", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {target for line in lines for target in line.split()}


TARGETS = targets_before("")


def read(path: str) -> dict[str, Any]:
    document = yaml.safe_load((ROOT / path).read_text())
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("job", read(".github/workflows/ci.yml")["jobs"].values())
def test_a_job_runs_targets_that_there_are(job: dict[str, Any]) -> None:
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands
    for command in commands:
        make, *targets = command.split()
        assert make == "make"
        assert set(targets) <= TARGETS


def test_the_script_runs_targets_that_there_are() -> None:
    lines = re.findall(r"^make ([a-z -]*)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        assert set(line.split()) <= TARGETS


def test_every_target_but_files_says_what_it_does() -> None:
    assert targets_before(r".*## \S") == TARGETS


def test_bots_look_where_there_is_something() -> None:
    names = {"pip": "pyproject.toml", "npm": "package-lock.json", "docker": "Dockerfile", "github-actions": ".github"}
    for update in read(".github/dependabot.yml")["updates"]:
        assert (ROOT / update["directory"].lstrip("/") / names[update["package-ecosystem"]]).exists()


@pytest.mark.parametrize(
    "folder",
    [one["directory"] for one in read(".github/dependabot.yml")["updates"] if one["package-ecosystem"] == "npm"],
)
def test_a_lock_of_npm_holds_for_every_registry(folder: str) -> None:
    packages = json.loads((ROOT / folder.lstrip("/") / "package-lock.json").read_text())["packages"]
    locked = [package for path, package in packages.items() if path]
    assert locked
    assert all("integrity" in package and "resolved" not in package for package in locked)


def test_hooks_run_what_make_check_runs() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    entries = {hook["entry"].split()[0] for hook in local["hooks"]}
    assert {".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/lint-imports"} <= entries
