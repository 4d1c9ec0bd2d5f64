"""The rules and the configuration of Prometheus, by its own tool."""

import subprocess

import pytest

from tests.monitoring.debian import program
from tests.serving import ROOT

FOLDER = ROOT / "docker" / "monitoring" / "prometheus"


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "--syntax-only", "prometheus.yml"),  # the key's file is in the container alone
        ("check", "rules", "--lint-fatal", "alerts.yml", "drift.yml", "feedback.yml"),
        ("test", "rules", "alerts.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([program("promtool"), *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
