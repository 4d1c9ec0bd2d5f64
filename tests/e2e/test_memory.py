"""Memory while clients send more than fits: bodies in chunks without end, over raw connections."""

import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from tests.app.engine.fakes import until
from tests.serving import ROOT, SHIPPED, as_process

MIB = 2**20
REPOSITORY = ROOT / "models" / "repository"
BUDGET = 120
ROW = orjson.dumps({"model": "digits", "inputs": [[[[0.5] * 8] * 8]]})

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and only glibc gives memory back")


@contextmanager
def service() -> Iterator[tuple[httpx.Client, Callable[[], int]]]:
    """A client, and how many MiB the service takes."""
    settings = {**SHIPPED, "MASKSEMBLES_MEMORY_BUDGET_MB": str(BUDGET)}
    with as_process(REPOSITORY, **settings) as (client, process):
        until(lambda: client.get("/health/ready").status_code == 200)

        def resident() -> int:
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            return pages * 4096 // MIB

        assert predict(client) == 200
        yield client, resident


def predict(client: httpx.Client) -> int:
    return client.post("/predict", content=ROW, headers={"content-type": "application/json"}).status_code


def metric(client: httpx.Client, name: str) -> float:
    return float(client.get("/metrics").text.partition(f"\nmasksembles_memory_{name} ")[2].split()[0])


def send(client: httpx.Client, path: str, chunk: bytes, chunks: int) -> socket.socket:
    """A connection on which a body came in chunks and has not ended."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)
    connection.sendall(
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        % path.encode()
    )
    for _ in range(chunks):
        connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
    return connection


@pytest.mark.parametrize(
    ("path", "size", "chunks", "clients"),
    [("/predict", MIB, 12, 30), ("/v2/models/digits/infer", 3 * 2**14, 5, 1000)],
    ids=["large", "many"],
)
def test_chunks_are_counted_as_they_come_and_their_memory_is_given_back(
    path: str, size: int, chunks: int, clients: int
) -> None:
    with service() as (client, resident), ExitStack() as stack:
        before = resident()
        lines = [stack.enter_context(send(client, path, b"[" * size, chunks)) for _ in range(clients)]
        until(lambda: metric(client, "refusals_total") > 0)
        time.sleep(0.5)
        assert 0.3 * BUDGET * MIB < metric(client, "held_bytes") <= BUDGET * MIB
        assert (
            resident() - before < 1.4 * BUDGET + 40
        )  # blocks grow ahead of what is in them; and buffers of connections
        assert client.get("/health/ready").status_code == 200
        assert predict(client) == 200
        refused = metric(client, "refusals_total")  # before the answers are counted: there may be more by then
        assert len([line for line in lines if _answer(line).startswith(b"HTTP/1.1 503 ")]) >= refused > clients / 4
        for line in lines:
            line.close()
        until(lambda: metric(client, "held_bytes") == 0)
        until(lambda: resident() - before < 40)
        assert predict(client) == 200


def _answer(connection: socket.socket) -> bytes:
    """What has come back by now."""
    connection.setblocking(False)
    try:
        return connection.recv(2**16)
    except (BlockingIOError, ConnectionResetError):
        return b""
