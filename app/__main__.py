"""`python -m app` serves the model repository; `python -m app --check` verifies and loads every model, then exits."""

import argparse
import gc
import json
import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from pydantic import ValidationError

from app.auth.guard import Guard
from app.auth.keys import make_key
from app.connections import Connections, most_connections
from app.engine.device import Cuda, choose
from app.engine.options import RegistryOptions
from app.engine.reconciler import open_repository
from app.engine.registry import ModelRegistry
from app.engine.watchdog import end_process
from app.failures import StartError
from app.main import create_app, routes
from app.server import Server
from app.settings import Settings
from app.telemetry import logs
from app.telemetry.metrics import Telemetry
from app.telemetry.tracing import open_tracing

if TYPE_CHECKING:
    from app.api.grpc.server import GrpcServer
    from app.feedback.archive import Archive

_log = logging.getLogger(__name__)

_COLLECT_AFTER = (10_000, 20, 20)  # by default, hundreds of requests at once would keep the collector running
_SWITCH_SECONDS = 0.0005  # how long a busy event loop may keep a device's thread from the interpreter; 5 ms by default
_GRACE_SECONDS = 5  # for requests at work, beyond the time that rows may wait


def main() -> int:
    """Returns 0, or 1 if the service cannot start; with --check also if a version is rejected or none is available."""
    began = time.perf_counter()
    options = _arguments()
    if options.openapi:
        sys.stdout.buffer.write(json.dumps(routes().openapi(), indent=1, ensure_ascii=False).encode() + b"\n")
        return 0
    if options.new_key is not None:
        return _new_key(options.new_key, options.scopes)
    logs.install()  # first, so that messages of the start are JSON, too
    try:
        settings = Settings()
        guard = _guard(settings, alone=options.check)
        tracing = open_tracing()
        grpc_server = _grpc_server(settings)
        telemetry = Telemetry(loaded=1 + settings.keep_versions)
        archive = _archive(settings, telemetry)
        cuda = Cuda(settings.tf32, settings.cuda_graphs, settings.gpu_memory_mb)
        device = choose(settings.device, cuda)  # before any session: onnxruntime would fall back to the CPU
        _log.info("device %s (asked for %s): %s", device.name, device.setting, device.reason)
        served = RegistryOptions(
            pin=settings.pin,
            default_model=settings.default_model,
            keep_versions=settings.keep_versions,
            max_batch=settings.max_batch,
            allow_bare_onnx=settings.allow_bare_onnx,
            lazy=settings.load == "lazy",
            load_all=options.check,
            policies=settings.policy,
        )
        reconciler = open_repository(settings.model_repository, device, served, telemetry.reloaded)
        most = most_connections(settings.max_connections, 1 if grpc_server is None else 2)
        connections = Connections(most, settings.head_timeout_seconds)
    except ValidationError as error:
        for problem in error.errors():
            name = f"masksembles_{problem['loc'][0]}".upper()
            # the message alone: pydantic's own text shows the value, which may be a key's line
            print(f"error: {name}: {problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return 1
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.check:
        return _report(reconciler.registry)
    done = "loaded" if settings.load == "start" else "verified"
    _log.info("models %s", done, extra={"seconds": round(time.perf_counter() - began, 3)})
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what exists now stays: the collector need not scan it again
    gc.set_threshold(*_COLLECT_AFTER)
    grace = settings.queue_timeout_ms // 1000 + _GRACE_SECONDS
    application = create_app(settings, reconciler, telemetry, guard, tracing, archive)
    beside = None if grpc_server is None else grpc_server(application.services, guard, connections.most)
    try:
        Server(application, settings.host, settings.port, grace, connections, beside).run()
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if left_behind := application.services.batcher.left_behind:
        end_process(f"everything is answered, but {', '.join(left_behind)} did not come back from a run")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m app",
        description="Serve the models of a repository over HTTP. Settings are environment variables: docs/settings.md",
    )
    parser.add_argument("--check", action="store_true", help="load and verify every model, then exit")
    parser.add_argument("--openapi", action="store_true", help="print the OpenAPI document, then exit")
    parser.add_argument(
        "--new-key", metavar="NAME", help="print a new API key and its line for MASKSEMBLES_KEYS, then exit"
    )
    parser.add_argument(
        "--scopes", default="predict", help="what the new key may do: predict, metrics and admin, joined by +"
    )
    return parser.parse_args()


def _guard(settings: Settings, *, alone: bool = False) -> Guard:
    """The guard that the settings describe.

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
    try:
        return Guard(settings.keys, settings.keys_file, settings.rate_limit)
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


def _archive(settings: Settings, telemetry: Telemetry) -> "Archive | None":
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


def _new_key(name: str, scopes: str) -> int:
    try:
        key, line = make_key(name, scopes)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"key, for its owner; it is not stored:   {key}")
    print(f"line, for MASKSEMBLES_KEYS or the file: {line}")
    return 0


def _report(registry: ModelRegistry) -> int:
    sound = bool(registry.serving) and not registry.unreadable
    for name, reason in registry.unreadable.items():
        print(f"{name} cannot be read: {reason}")
    for name, found in registry.models.items():
        for version in found.versions:
            sound = sound and version.state != "rejected"
            print(f"{name}:{version.number} {version.state}{f': {version.reason}' if version.reason else ''}")
    if not registry.serving:
        print("no model is available")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
