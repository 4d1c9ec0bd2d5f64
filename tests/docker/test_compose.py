"""`docker compose up` for real: build, start, post a picture, look around inside, stop. Run by `make test-docker`."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.auth import keys
from tests.pictures import REQUEST, readme_answer, same_to_three_digits
from tests.serving import ROOT, SHIPPED

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
ENVIRONMENT = {**os.environ, "PORT": str(PORT), **SHIPPED}


def compose(*arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "compose", "-p", "masksembles-test", *arguments],
        cwd=ROOT, env={**ENVIRONMENT, **environment}, capture_output=True, text=True, timeout=1200, check=check,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _up() -> Iterator[None]:
    try:
        compose("up", "--build", "--detach", "--wait")
        yield
    finally:
        compose("down", "--volumes", check=False)


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
    (state,) = [json.loads(line) for line in compose("ps", "--format", "json").stdout.splitlines()]
    assert state["Health"] == "healthy"


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


def test_stops_by_itself_within_the_grace_time() -> None:
    compose("stop")
    (state,) = [json.loads(line) for line in compose("ps", "--all", "--format", "json").stdout.splitlines()]
    assert state["ExitCode"] == 0
