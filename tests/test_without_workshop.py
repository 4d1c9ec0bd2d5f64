"""The tests of the service need no workshop: they are collected and run where torch and its like are not there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import ROOT

# Runs pytest as it runs where only the service and `dev` are installed.
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in {"torch", "onnxscript", "sklearn", "models"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, "-q", "-p", "no:cacheprovider", f"--basetemp={folder}", *arguments]
    plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # some take seconds to import, and none is needed
    return subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False)


def test_the_tests_of_the_workshop_cannot_be_collected_there(tmp_path: Path) -> None:
    found = run(tmp_path / "inner", "--collect-only", "tests/models/test_masks.py")
    assert found.returncode != 0
    assert "ModuleNotFoundError" in found.stdout + found.stderr


PART = ("api/test_models.py", "api/predict/test_regression.py", "engine/test_session.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["--collect-only", "tests/app"], [f"tests/app/{name}" for name in PART]], ids=["collected", "run"]
)
def test_the_tests_of_the_service_need_no_workshop(tmp_path: Path, arguments: list[str]) -> None:
    found = run(tmp_path / "inner", *arguments)
    assert found.returncode == 0, found.stdout + found.stderr
