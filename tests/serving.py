"""The service for tests: an application behind a real server in a thread, or the whole program as a process."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import httpx
import uvicorn
from starlette.types import ASGIApp

from app.api.middleware import Gateway
from app.auth.guard import Guard
from app.connections import Connections
from app.engine.device import Device
from app.engine.reconciler import Reconciler, open_repository
from app.entrance import Entrance
from app.http_protocol import protocol_among
from app.main import create_app
from app.service import archive_of, registry_options
from app.settings import Settings
from app.telemetry.metrics import Telemetry
from app.telemetry.tracing import Tracing

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0
VERSIONS = {"digits": 3, "fashion-mnist": 4}
"""The shipped versions of the models that README shows."""
SHIPPED = {
    "MASKSEMBLES_PIN": ",".join(f"{name}:{version}" for name, version in VERSIONS.items()),
    "MASKSEMBLES_LOAD": "lazy",
    "MASKSEMBLES_QUEUE_TIMEOUT_MS": "60000",
}
"""Holds the models that README shows, in a checkout where `make models` added others; loads those that a test asks,
which may take a while beside other work."""
CPU = Device("cpu", "auto", "no GPU can be used: none here")


def settings_of(folder: Path, **settings: Any) -> Settings:
    """Settings of a service over a folder of models, which looks at it once unless a test says otherwise."""
    return Settings(**{"model_repository": folder, "poll_seconds": 0, **settings})


def open_models(folder: Path, device: Device = CPU, *, load_all: bool = False, **settings: Any) -> Reconciler:
    """The models of a folder in memory, as these settings want it.

    Raises:
        StartError: as open_repository.
    """
    chosen = settings_of(folder, **settings)
    return open_repository(folder, device, registry_options(chosen, load_all=load_all))


def application(
    folder: Path,
    *,
    models: Reconciler | None = None,
    guard: Guard | None = None,
    tracing: Tracing | None = None,
    **settings: Any,
) -> Gateway:
    """The service over a folder of models, on the CPU, with these settings; or over models that are open already."""
    chosen = settings_of(folder, **settings)
    telemetry = Telemetry(loaded=1 + chosen.keep_versions)
    archive = archive_of(chosen, telemetry)
    return create_app(chosen, models or open_models(folder, **settings), telemetry, guard, tracing, archive)


@contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[httpx.Client]:
    """A client of that application behind a real server in a thread, with the HTTP protocol that the program has."""
    app = application(folder, **settings)
    with in_thread(app, protocol_among(Connections(1000, 10), Entrance(app))) as client:
        yield client


@contextmanager
def in_thread(app: ASGIApp, http: type[asyncio.Protocol] | Literal["auto"] = "auto") -> Iterator[httpx.Client]:
    """A client of the application, which runs in this process, so that a test can reach into it."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", http=http))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + PATIENCE
        while not server.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def as_process(
    repository: Path, module: str = "app", log: str = "", root: str = "", **settings: str
) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """`python -m app` over a model repository, ready; ended by SIGTERM if it still runs. Or another such module.

    Args:
        log: a file for what it logs, which a long run needs: a pipe takes 64 KiB, and then the service waits.
        root: another checkout to run it from.
    """
    port = free_port()
    environment = {"MASKSEMBLES_MODEL_REPOSITORY": str(repository), "MASKSEMBLES_PORT": str(port), **settings}
    with open(log, "w") if log else nullcontext(subprocess.PIPE) as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=root or ROOT,
            env={**os.environ, **environment},
            stderr=stderr,
            text=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            until = time.monotonic() + PATIENCE
            while process.poll() is None and time.monotonic() < until:
                try:
                    client.get("/health/live")
                    break
                except httpx.ConnectError:
                    time.sleep(0.05)
            yield client, process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
