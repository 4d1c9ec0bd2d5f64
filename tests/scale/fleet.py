"""Replicas behind the proxy, as `docker compose -f docker-compose.yml -f docker/scale.yml up --scale …` starts them."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import httpx

from tests.serving import ROOT, free_port

PATIENCE = 120.0
FILES = ("-f", "docker-compose.yml", "-f", "docker/scale.yml")
IMAGE = "masksembles-service"


def docker(*arguments: str, check: bool = True, settings: Mapping[str, str] = MappingProxyType({})) -> str:
    """What `docker …` prints, run in the root of the repository; of a failure that is expected, all it says."""
    everything = {**os.environ, **settings}
    command = ["docker", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=everything, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()


def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Waits until it holds, or fails."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} s: {holds}")


class Fleet:
    """A project of compose: replicas, a proxy on `port`, and a network that other containers can join."""

    def __init__(self, project: str, port: int) -> None:
        self.project = project
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def compose(self, *arguments: str, check: bool = True, settings: Mapping[str, str] = MappingProxyType({})) -> str:
        options = ("-p", self.project, *FILES)
        return docker("compose", *options, *arguments, check=check, settings={**settings, "PORT": str(self.port)})

    def replicas(self) -> list[str]:
        """Names of the containers that answer, with those that joined."""
        rows = docker("ps", "--filter", f"network={self.project}_default", "--format", "{{.Names}}").splitlines()
        return sorted(name for name in rows if "proxy" not in name)

    def wait_for(self, count: int) -> None:
        """Until the proxy sends requests to so many."""
        until(lambda: self.up() == count)

    def up(self) -> int:
        """How many replicas the proxy takes for ready."""
        return sum(1 for line in self.proxy_metrics().splitlines() if _is_up(line))

    def proxy_metrics(self) -> str:
        """Of HAProxy's exporter, which is not published."""
        return httpx.get(f"http://{self.address(f'{self.project}-proxy-1')}:8405/metrics").text

    def replica_metrics(self, name: str) -> str:
        return httpx.get(f"http://{self.address(name)}:8000/metrics").text

    def address(self, name: str) -> str:
        """Of a container in the network, which this machine reaches."""
        networks = json.loads(docker("inspect", name, "--format", "{{json .NetworkSettings.Networks}}"))
        return str(networks[f"{self.project}_default"]["IPAddress"])

    @contextmanager
    def joined(self, name: str, *options: str, command: tuple[str, ...] = ()) -> Iterator[str]:
        """One more replica, which is not like the others."""
        name = f"{self.project}-{name}"
        docker(
            "run", "--detach", "--name", name, "--network", f"{self.project}_default", "--network-alias", "masksembles",
            "-e", "MASKSEMBLES_ALLOW_ANONYMOUS=true", *options, IMAGE, *command,
        )  # fmt: skip
        try:
            yield name
        finally:
            docker("rm", "--force", name, check=False)


def _is_up(line: str) -> bool:
    return line.startswith('haproxy_server_status{proxy="replicas"') and 'state="UP"' in line and line.endswith(" 1")


@contextmanager
def fleet(count: int, repository: Path, **settings: str) -> Iterator[Fleet]:
    """So many replicas over a model repository, all of them ready."""
    found = Fleet(f"masksembles-scale-{os.getpid()}", free_port())
    settings = {"MASKSEMBLES_MODEL_REPOSITORY": str(repository), **settings}
    try:
        found.compose("up", "--build", "--detach", "--wait", "--scale", f"masksembles={count}", settings=settings)
        found.wait_for(count)
        until(lambda: httpx.get(f"{found.url}/health/ready").status_code == 200)
        yield found
    except BaseException as error:
        error.add_note(found.compose("logs", "--tail", "20", check=False))
        raise
    finally:
        found.compose("down", "--volumes", "--timeout", "1", check=False)


def health(name: str) -> str:
    """What a container's own health check says."""
    state = json.loads(docker("inspect", name, "--format", "{{json .State}}"))
    return str(state.get("Health", {}).get("Status", state["Status"]))
