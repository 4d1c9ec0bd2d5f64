"""`python -m app` serves the model repository; `python -m app --check` verifies and loads every model, then exits."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from pydantic import ValidationError

from app.auth.keys import make_key
from app.failures import StartError
from app.settings import Settings
from app.supervisor import supervise
from app.telemetry import logs

if TYPE_CHECKING:
    from app.engine.registry import ModelRegistry


def main() -> int:
    """Returns 0, or 1 if the service cannot start; with --check also if a version is rejected or none is available."""
    options = _arguments()
    if options.openapi:
        return _openapi()
    if options.new_key is not None:
        return _new_key(options.new_key, options.scopes)
    logs.install()  # first, so that messages of the start are JSON, too
    try:
        settings = Settings()
        if settings.workers > 1 and not options.check:
            return supervise(settings)
        from app.service import open_service, serve  # here: a process that only supervises needs none of it

        service = open_service(settings, check=options.check)
        return _report(service.reconciler.registry) if options.check else serve(service)
    except ValidationError as error:
        for problem in error.errors():
            name = f"masksembles_{problem['loc'][0]}".upper()
            # the message alone: pydantic's own text shows the value, which may be a key's line
            print(f"error: {name}: {problem['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return 1
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


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


def _openapi() -> int:
    from app.main import routes

    sys.stdout.buffer.write(json.dumps(routes().openapi(), indent=1, ensure_ascii=False).encode() + b"\n")
    return 0


def _new_key(name: str, scopes: str) -> int:
    try:
        key, line = make_key(name, scopes)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"key, for its owner; it is not stored:   {key}")
    print(f"line, for MASKSEMBLES_KEYS or the file: {line}")
    return 0


def _report(registry: "ModelRegistry") -> int:
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
