"""One process of the service: opens what the settings describe, and serves it until a signal."""

import gc
import logging
import os
import sys
import time
from dataclasses import dataclass
from socket import socket
from typing import TYPE_CHECKING

from app.api.health import why_not_alone
from app.auth.guard import Guard
from app.connections import Connections, most_connections
from app.engine.device import Cuda, choose
from app.engine.options import RegistryOptions
from app.engine.reconciler import Reconciler, open_repository
from app.engine.watchdog import end_process
from app.failures import StartError
from app.main import create_app
from app.server import Server
from app.settings import Settings
from app.telemetry.metrics import Telemetry
from app.telemetry.tracing import Tracing, open_tracing
from app.workers.board import Board
from app.workers.place import Place

if TYPE_CHECKING:
    from app.api.grpc.server import GrpcServer
    from app.feedback.archive import Archive

_log = logging.getLogger(__name__)

GRACE_SECONDS = 5
"""For requests at work when the service is told to end, beyond the time that rows may wait."""
_COLLECT_AFTER = (10_000, 20, 20)  # by default, hundreds of requests at once would keep the collector running
_SWITCH_SECONDS = 0.0005  # how long a busy event loop may keep a device's thread from the interpreter; 5 ms by default


@dataclass
class Service:
    """What is open before anything listens."""

    settings: Settings
    guard: Guard
    tracing: Tracing
    telemetry: Telemetry
    archive: "Archive | None"
    reconciler: Reconciler
    connections: Connections
    grpc_server: "type[GrpcServer] | None"
    place: Place | None


def open_service(settings: Settings, place: Place | None = None, *, check: bool = False) -> Service:
    """Opens the models and all that serves them.

    Args:
        place: that of a worker among several.
        check: load every model, and serve none.

    Raises:
        StartError: the service cannot start as configured.
    """
    began = time.perf_counter()
    guard = guard_of(settings, place, alone=check)
    tracing = open_tracing()
    grpc_server = _grpc_server(settings)
    telemetry = Telemetry(loaded=1 + settings.keep_versions)
    archive = archive_of(settings, telemetry)
    cuda = Cuda(settings.tf32, settings.cuda_graphs, settings.gpu_memory_mb)
    device = choose(settings.device, cuda)  # before any session: onnxruntime would fall back to the CPU
    _log.info("device %s (asked for %s): %s", device.name, device.setting, device.reason)
    served = registry_options(settings, load_all=check)
    reconciler = open_repository(settings.model_repository, device, served, telemetry.reloaded)
    most = most_connections(settings.max_connections, 1 if grpc_server is None else 2, settings.workers)
    connections = Connections(most, settings.head_timeout_seconds)
    done = "loaded" if settings.load == "start" else "verified"
    if not check:
        _log.info("models %s", done, extra={"seconds": round(time.perf_counter() - began, 3)})
    return Service(settings, guard, tracing, telemetry, archive, reconciler, connections, grpc_server, place)


def serve(service: Service, door: socket | None = None) -> int:
    """Serves until a signal; returns the exit status.

    Args:
        door: what to listen on; by default, what the settings say.

    Raises:
        StartError: the other transport cannot listen.
    """
    settings, place = service.settings, service.place
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what exists now stays: the collector need not scan it again
    gc.set_threshold(*_COLLECT_AFTER)
    board = None if place is None else Board(place.folder / "board", place.count)
    application = create_app(
        settings, service.reconciler, service.telemetry, service.guard, service.tracing, service.archive, board
    )
    of = application.services
    if board is not None and place is not None:
        service.telemetry.join(place, board)

    def tick() -> None:
        if board is None or place is None:
            return
        board.note(place.index, why_not_alone(of) is None)
        if (error := of.batcher.watchdog.hopeless()) is not None:  # its successor may do better
            end_process(error.message)

    grpc_server = service.grpc_server
    beside = None if grpc_server is None else grpc_server(of, service.guard, service.connections.most)
    grace = settings.queue_timeout_ms // 1000 + GRACE_SECONDS
    server = Server(application, settings.host, settings.port, grace, service.connections, beside, tick)
    server.run(None if door is None else [door])
    if left_behind := of.batcher.left_behind:
        end_process(f"everything is answered, but {', '.join(left_behind)} did not come back from a run")
    return 0


def registry_options(settings: Settings, *, load_all: bool = False) -> RegistryOptions:
    """What the settings say of the models.

    Args:
        load_all: load every model, whatever the settings say.
    """
    return RegistryOptions(
        pin=settings.pin,
        default_model=settings.default_model,
        keep_versions=settings.keep_versions,
        max_batch=settings.max_batch,
        allow_bare_onnx=settings.allow_bare_onnx,
        lazy=settings.load == "lazy",
        load_all=load_all,
        policies=settings.policy,
        workers=settings.workers,
    )


def guard_of(settings: Settings, place: Place | None = None, *, alone: bool = False) -> Guard:
    """The guard that the settings describe.

    Args:
        place: that of a worker; the rates are those of all of them.
        alone: nobody will connect.

    Raises:
        StartError: the key file cannot be read, or there are no keys and other machines could connect.
    """
    if (
        not alone
        and settings.reached_by_others
        and not (settings.keys or settings.keys_file or settings.allow_anonymous)
    ):
        raise StartError(
            f"MASKSEMBLES_HOST={settings.host}: other machines could connect; say who may with MASKSEMBLES_KEYS or "
            "MASKSEMBLES_KEYS_FILE, or let everybody in with MASKSEMBLES_ALLOW_ANONYMOUS=true"
        )
    buckets = None
    if place is not None and settings.rate_limit is not None:
        from app.auth.shared_buckets import SharedBuckets  # here: Windows has no such locks

        buckets = SharedBuckets(place.folder / "rates")
    try:
        return Guard(settings.keys, settings.keys_file, settings.rate_limit, buckets=buckets)
    except (OSError, ValueError) as error:
        raise StartError(f"MASKSEMBLES_KEYS_FILE: {error}") from error


def _grpc_server(settings: Settings) -> "type[GrpcServer] | None":
    """The server for gRPC, if there is to be one.

    Raises:
        StartError: its packages are missing.
    """
    if settings.grpc_port is None:
        return None
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its own lines on the error output are no JSON
    try:
        from app.api.grpc.server import GrpcServer
    except ModuleNotFoundError as error:
        raise StartError(
            f"MASKSEMBLES_GRPC_PORT is set, but there is no {error.name}: install the extra grpc "
            "(pip install '.[grpc]')"
        ) from error
    return GrpcServer


def archive_of(settings: Settings, telemetry: Telemetry) -> "Archive | None":
    """The database of feedback, if there is to be one.

    Raises:
        StartError: nothing signs receipts, packages are missing, or the URL is none.
    """
    if settings.feedback_url is None:
        return None
    if not settings.feedback_secrets:
        raise StartError(
            "MASKSEMBLES_FEEDBACK_URL is set, but without MASKSEMBLES_FEEDBACK_SECRET there are no receipts"
        )
    try:
        from app.feedback.archive import Archive
    except ModuleNotFoundError as error:
        raise StartError(
            f"MASKSEMBLES_FEEDBACK_URL is set, but there is no {error.name}: install the extra feedback "
            "(pip install '.[feedback]')"
        ) from error
    limits = settings.feedback_rows, settings.feedback_days
    try:
        return Archive(settings.feedback_url.get_secret_value(), *limits, telemetry)
    except ValueError as error:
        raise StartError(f"MASKSEMBLES_FEEDBACK_URL: {error}") from error
