"""More silent clients than the process has descriptors shut nobody out."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.serving import PATIENCE, ROOT, SHIPPED, as_process

REPOSITORY = ROOT / "models" / "repository"


@contextmanager
def at_most_open(files: int) -> Iterator[None]:
    """Processes that are started meanwhile may open so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_silent_clients_than_descriptors_shut_nobody_out() -> None:
    with ExitStack() as opened:
        with at_most_open(128):
            client, process = opened.enter_context(as_process(REPOSITORY, **SHIPPED, MASKSEMBLES_POLL_SECONDS="0.1"))
        address = (client.base_url.host, client.base_url.port or 0)
        for at in range(300):
            line = opened.enter_context(socket.create_connection(address, timeout=PATIENCE))
            if at % 3 == 0:
                line.sendall(b"POST /predict HTTP/1.1\r\nX: ")
            if at % 30 == 0:
                assert client.get("/health/live").status_code == 200
        descriptors = Path(f"/proc/{process.pid}/fd")
        if descriptors.exists():
            assert len(list(descriptors.iterdir())) < 120
        for _ in range(10):
            assert client.get("/health/ready").status_code == 200
            time.sleep(0.1)  # the service looks at its models meanwhile, which takes a descriptor, too
        process.terminate()
        assert process.stderr is not None
        assert "Too many open files" not in process.stderr.read()


def test_more_connections_than_descriptors_are_refused_at_the_start() -> None:
    with (
        at_most_open(256),
        as_process(REPOSITORY, **SHIPPED, MASKSEMBLES_MAX_CONNECTIONS="250") as (_, process),
    ):
        assert process.stderr is not None
        assert "error: MASKSEMBLES_MAX_CONNECTIONS=250: expected at most " in process.stderr.read()
        assert process.wait(PATIENCE) == 1
