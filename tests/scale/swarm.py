"""A stack in Docker Swarm on this machine, as `docker/stack | docker stack deploy -c - …` deploys it."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.scale.fleet import docker, until
from tests.serving import ROOT, free_port


class Stack:
    """A stack and the port of its proxy."""

    def __init__(self, name: str, port: int, settings: dict[str, str]) -> None:
        self.name = name
        self.port = port
        self.service = f"{name}_masksembles"
        self._settings = settings

    def deploy(self, **settings: str) -> None:
        """Deploys it, or what is different now."""
        environment = {**os.environ, "COMPOSE_PROJECT_NAME": self.name, **self._settings, **settings}
        stack = subprocess.run(["docker/stack"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        deploy = ["docker", "stack", "deploy", "--resolve-image", "never", "-c", "-", self.name]
        done = subprocess.run(deploy, input=stack.stdout, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def running(self) -> int:
        """How many replicas have passed their health check."""
        return sum(task.startswith("Running") for task in self.tasks())

    def tasks(self) -> list[str]:
        form = ["--filter", "desired-state=running", "--format", "{{.CurrentState}}"]
        return docker("service", "ps", self.service, *form).splitlines()

    def images(self) -> set[str]:
        form = ["--filter", "desired-state=running", "--format", "{{.Image}}"]
        return set(docker("service", "ps", self.service, *form).splitlines())

    def update(self) -> str:
        """What became of the last update: `updating`, `completed`, `rollback_completed`, …"""
        status: dict[str, Any] = json.loads(
            docker("service", "inspect", self.service, "--format", "{{json .UpdateStatus}}") or "null"
        )
        return str((status or {}).get("State", ""))


@contextmanager
def stack(repository: Path, **settings: str) -> Iterator[Stack]:
    """Three replicas and a proxy that answers; the machine is in a swarm only meanwhile, unless it was in one."""
    joined = docker("info", "--format", "{{.Swarm.LocalNodeState}}") == "active"
    if not joined:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    port = free_port()
    given = {"MASKSEMBLES_MODEL_REPOSITORY": str(repository), "MASKSEMBLES_ALLOW_ANONYMOUS": "true", "PORT": str(port)}
    found = Stack(f"masksembles-swarm-{os.getpid()}", port, {**given, **settings})
    try:
        found.deploy()
        until(lambda: found.running() == 3)
        until(lambda: httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200)
        yield found
    finally:
        docker("stack", "rm", found.name, check=False)
        until(lambda: not docker("ps", "--quiet", "--filter", f"name={found.name}"))
        if not joined:
            docker("swarm", "leave", "--force")
