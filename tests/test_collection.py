"""Every process collects the same tests in the same order: workers that run parts of them must agree on the whole."""

import os
import subprocess
import sys

import pytest

from tests.serving import ROOT


def collected(seed: str) -> list[str]:
    """The tests of the service as a process with that seed of its hashes collects them."""
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", "tests/app"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [line for line in found.stdout.splitlines() if "::" in line]


@pytest.mark.slow
def test_neither_hashes_nor_the_time_change_what_is_collected() -> None:
    first = collected("1")
    assert len(first) > 1000
    assert len(set(first)) == len(first)
    assert collected("2") == first
