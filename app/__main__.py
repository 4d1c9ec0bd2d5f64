"""`python -m app`: serves the store. `python -m app --check`: loads and verifies every model, then exits."""

import argparse
import logging
import signal
import sys

import uvicorn
from pydantic import ValidationError

from app.engine.device import choose
from app.engine.store import Store
from app.errors import StartError
from app.main import create_app
from app.settings import Settings

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 10  # for accepted requests on SIGTERM; a client that never sends the rest of its own waits no longer


def main() -> int:
    """Returns 0, or 1 when the service cannot start, or with --check when a version is refused or none is served."""
    parser = argparse.ArgumentParser(prog="python -m app", description="Serves the models of a store over HTTP.")
    parser.add_argument("--check", action="store_true", help="load and verify every model, then exit")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        settings = Settings()
        device = choose(settings.device)
        _log.info("device %s (asked for %s): %s", device.name, device.asked, device.reason)
        store = Store(settings.store, device, settings.pin, settings.default_model, load_all=options.check)
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(("masksembles", *(str(part) for part in problem["loc"]))).upper()
            print(f"error: {name}: {problem['msg']}", file=sys.stderr)
        return 1
    except StartError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.check:
        store.close()
        return _report(store)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it once more when all is finished: then exit 0
    uvicorn.run(
        create_app(settings, store),
        host=settings.host,
        port=settings.port,
        server_header=False,
        access_log=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return 0


def _report(store: Store) -> int:
    sound = bool(store.serving) and not store.unreadable
    for name, reason in store.unreadable.items():
        print(f"{name} cannot be read: {reason}")
    for name, versions in store.versions.items():
        for version in versions:
            sound = sound and version.state != "refused"
            print(f"{name}:{version.number} {version.state}{f': {version.reason}' if version.reason else ''}")
    if not store.serving:
        print("nothing to serve")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
