"""The unit of a replica, by systemd's own tool; and that the proxy asks where units listen."""

import re
import shutil
import subprocess

import pytest

from tests.serving import ROOT

FOLDER = ROOT / "docker" / "systemd"
UNIT = FOLDER / "masksembles@.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_agrees() -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_its_command_is_the_service_on_the_port_of_the_instance() -> None:
    (command,) = re.findall(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert command.split() == [
        "/usr/bin/env", "MASKSEMBLES_HOST=127.0.0.1", "MASKSEMBLES_PORT=%i", ".venv/bin/python", "-m", "app",
    ]  # fmt: skip


def test_both_proxies_have_the_same_rules_for_replicas() -> None:
    def backend(text: str) -> list[str]:
        lines = text.partition("backend replicas\n")[2].splitlines()
        return [line for line in lines if not line.lstrip().startswith("server")]

    docker = (ROOT / "docker" / "haproxy" / "replicas.cfg").read_text()
    assert backend((FOLDER / "replicas.cfg").read_text()) == backend(docker)
