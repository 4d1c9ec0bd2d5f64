"""`docker compose up` for real: build, start, post a picture, look around inside, stop. Run by `make test-docker`."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.auth import keys
from tests.pictures import REQUEST, readme_answer, same_to_three_digits
from tests.serving import ROOT, SHIPPED


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


PORT = free_port()
PROJECT = "masksembles-test"
ENVIRONMENT = {**os.environ, "PORT": str(PORT), **SHIPPED}
ENVIRONMENT.pop("MASKSEMBLES_PORT", None)


def compose(
    *arguments: str, check: bool = True, project: str = PROJECT, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "compose", "-p", project, *arguments],
        cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=1200, check=check,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _up() -> Iterator[None]:
    try:
        compose("up", "--build", "--detach", "--wait")
        yield
    finally:
        compose("down", "--volumes", check=False)


def states(*arguments: str, project: str = PROJECT) -> list[dict[str, Any]]:
    return [json.loads(line) for line in compose(*arguments, project=project).stdout.splitlines()]


def health_check() -> list[str]:
    """The command of the image's HEALTHCHECK."""
    image = ["docker", "image", "inspect", "masksembles-service", "--format", "{{json .Config.Healthcheck.Test}}"]
    test: list[str] = json.loads(subprocess.run(image, capture_output=True, text=True, check=True).stdout)
    assert test[0] == "CMD"
    return test[1:]


def inside(code: str) -> subprocess.CompletedProcess[str]:
    return compose("exec", "-T", "masksembles", "python", "-c", code, check=False)


def test_a_real_picture_gets_readme_s_answer() -> None:
    headers = {"content-type": "application/json"}
    response = httpx.post(f"http://127.0.0.1:{PORT}/predict", content=REQUEST.read_bytes(), headers=headers)
    assert response.status_code == 200
    assert same_to_three_digits(response.json(), readme_answer())


def test_published_on_loopback_only() -> None:
    (line,) = compose("port", "masksembles", "8000").stdout.splitlines()
    assert line == f"127.0.0.1:{PORT}"


def test_healthy_by_its_own_check() -> None:
    (state,) = states("ps", "--format", "json")
    assert state["Health"] == "healthy"


def test_another_port_is_published_and_healthy() -> None:
    port, project = free_port(), "masksembles-test-port"
    try:
        compose("up", "--detach", "--wait", project=project, PORT="", MASKSEMBLES_PORT=str(port))
        (state,) = states("ps", "--format", "json", project=project)
        assert state["Health"] == "healthy"
        assert httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
    finally:
        compose("down", "--volumes", check=False, project=project)


def test_unhealthy_once_the_port_is_silent() -> None:
    asked = compose("exec", "-T", "-e", "MASKSEMBLES_PORT=8001", "masksembles", *health_check(), check=False)
    assert "Connection refused" in asked.stderr
    assert compose("exec", "-T", "masksembles", *health_check(), check=False).returncode == 0


def test_the_image_holds_the_versions_of_the_lock() -> None:
    found = inside(
        "import importlib.metadata as m, json\n"
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions()}))"
    )
    of_the_venv = {"pip", "setuptools", "wheel", "masksembles-service"}
    installed = {str(canonicalize_name(name)): version for name, version in json.loads(found.stdout).items()}
    pins = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line[0] != "#"]
    locked = {f"{pin.name}{pin.specifier}" for pin in pins}
    assert "fastapi" in installed
    assert {f"{name}=={installed[name]}" for name in installed.keys() - of_the_venv} <= locked


def test_the_page_is_in_the_image() -> None:
    for path in ("/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/docs.js"):
        assert httpx.get(f"http://127.0.0.1:{PORT}{path}").status_code == 200


def test_no_torch_in_the_image() -> None:
    found = inside("import importlib.util; print(importlib.util.find_spec('torch'))")
    assert found.stdout.strip() == "None"


def test_not_root_and_nothing_to_write_to() -> None:
    assert inside("import os; print(os.getuid())").stdout.strip() == "10001"
    for path in ("/srv/x", "/models/x", "/x"):
        found = inside(f"open({path!r}, 'w')")
        assert "Read-only file system" in found.stderr


def test_it_does_not_start_for_everybody_unless_that_is_said() -> None:
    found = compose("run", "--rm", "--no-deps", "-e", "MASKSEMBLES_ALLOW_ANONYMOUS=false", "masksembles", check=False)
    assert found.returncode == 1
    assert "MASKSEMBLES_HOST=0.0.0.0: other machines could connect" in found.stderr


def test_keys_in_a_mounted_file_are_asked_for(tmp_path: Path) -> None:
    key, line = keys.make_key("ci", "predict")
    (tmp_path / "keys").write_text(line + "\n")
    (tmp_path / "keys").chmod(0o644)
    ask = (
        "import os, subprocess, sys, time, urllib.error, urllib.request as r\n"
        "service = subprocess.Popen([sys.executable, '-m', 'app'])\n"
        "def status(**headers):\n"
        "    try: return r.urlopen(r.Request('http://127.0.0.1:8000/models', headers=headers)).status\n"
        "    except urllib.error.HTTPError as error: return error.code\n"
        "for _ in range(100):\n"
        "    try: status()\n"
        "    except urllib.error.URLError: time.sleep(0.1)\n"
        f"print(status(), status(authorization='Bearer {key}'))\n"
        "service.terminate()\n"
    )
    arguments = ("run", "--rm", "--no-deps", "-T", "masksembles", "python", "-c", ask)
    assert compose(*arguments, MASKSEMBLES_KEYS_FILE=str(tmp_path / "keys")).stdout.split() == ["401", "200"]


def test_the_gpu_file_is_valid() -> None:
    files = ("-f", "docker-compose.yml", "-f", "docker/gpu.yml")
    found = json.loads(compose(*files, "config", "--format", "json").stdout)
    service = found["services"]["masksembles"]
    assert service["build"]["args"] == {"CUDA": "13"}
    assert service["environment"]["MASKSEMBLES_DEVICE"] == "cuda"
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_the_monitoring_file_publishes_on_loopback_and_asks_the_port_that_it_sets() -> None:
    files = ("-f", "docker-compose.yml", "-f", "docker/monitoring.yml")
    found = json.loads(compose(*files, "config", "--format", "json", MASKSEMBLES_PORT="9000").stdout)
    published = [port for service in found["services"].values() for port in service["ports"]]
    assert {port["host_ip"] for port in published} == {"127.0.0.1"}
    assert [port["target"] for port in found["services"]["masksembles"]["ports"]] == [8000]
    assert found["services"]["masksembles"]["environment"]["MASKSEMBLES_PORT"] == "8000"
    assert found["secrets"]["metrics_key"]["file"] == "/dev/null"
    for service in ("prometheus", "grafana"):
        assert re.search(r":v?\d+\.\d+\.\d+$", found["services"][service]["image"])
        for volume in found["services"][service]["volumes"]:
            assert volume["type"] == "volume" or Path(volume["source"]).is_dir()


def test_stops_by_itself_within_the_grace_time() -> None:
    compose("stop")
    (state,) = states("ps", "--all", "--format", "json")
    assert state["ExitCode"] == 0
