"""Requests that are answered before their body has come, over raw connections to the real service.

The clients send everything before they read, with blocking sockets, and much more than the buffers between take.
"""

import gc
import json
import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from app import lingering_transport
from app.auth.guard import Guard
from app.auth.keys import make_key, parse_keys
from app.connections import Connections
from app.http_protocol import MOST_HEAD, SMALL_REST, HttpProtocol, protocol_among
from tests.app.engine.fakes import until
from tests.serving import PATIENCE, application, in_thread, serving

LARGE = 2**24
LOCKED = Guard(parse_keys(make_key("ci", "predict")[1]))
BUSY = {"guard": Guard(rate=0.001)}
LIMIT = {"max_body_bytes": 2**20}
REFUSED: dict[str, tuple[int, str, str, dict[str, Any]]] = {
    "body_too_large": (413, "POST /predict", "Content-Type: application/json\r\n", LIMIT),
    "body_too_large of a repository": (413, "POST /v2/repository/index", "", LIMIT),
    "admin_disabled": (403, "POST /v2/repository/models/tiny/load", "", {}),
    "unauthorized": (401, "POST /predict", "", {"guard": LOCKED}),
    "unauthorized for a repository": (401, "POST /v2/repository/models/tiny/load", "", {"guard": LOCKED}),
    "unsupported_media_type": (415, "POST /predict", "Content-Encoding: br\r\n", {}),
    "rate_limited": (429, "POST /v2/models/tiny/infer", "", BUSY),
    "unknown_model": (404, "POST /v2/models/none/infer", "", {}),
    "not_found": (404, "POST /nowhere", "", {}),
    "method_not_allowed": (405, "POST /models", "", {}),
}
FRAMINGS = [f"Content-Length: {LARGE}\r\n", "Transfer-Encoding: chunked\r\n"]


@contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    address = (client.base_url.host, client.base_url.port or 0)
    with socket.create_connection(address, timeout=PATIENCE) as line:
        yield line


@contextmanager
def refusing(folder: Path, settings: dict[str, Any]) -> Iterator[httpx.Client]:
    """A service with these settings, whose rate is used up if it has one."""
    with serving(folder, **settings) as client:
        if settings is BUSY:
            client.get("/models")
        yield client


def body(framing: str) -> bytes:
    chunk = b"10000\r\n" + bytes(2**16) + b"\r\n"
    return bytes(LARGE) if "Length" in framing else chunk * (LARGE // 2**16) + b"0\r\n\r\n"


def read(line: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """One answer: its status, its headers, and its body."""
    found = b""
    while b"\r\n\r\n" not in found:
        part = line.recv(65536)
        assert part, found
        found += part
    head, _, content = found.partition(b"\r\n\r\n")
    first, *rest = head.decode().split("\r\n")
    headers = dict(entry.lower().split(": ", 1) for entry in rest)
    while len(content) < int(headers.get("content-length", 0)):
        content += line.recv(65536)
    return int(first.split()[1]), headers, content


@pytest.mark.parametrize("name", REFUSED)
def test_whoever_is_refused_reads_the_answer_and_the_end(tiny_repository: Path, name: str) -> None:
    """Whether he sends everything first, or waits to be told to send the body, and never is."""
    status, request, headers, settings = REFUSED[name]
    head = f"{request} HTTP/1.1\r\nHost: localhost\r\n{headers}"
    waiting = f"{FRAMINGS[0]}Expect: 100-continue\r\n", b""
    with refusing(tiny_repository, settings) as client:
        for framing, content in (waiting, *((framing, body(framing)) for framing in FRAMINGS)):
            for last in ("", "Connection: close\r\n"):
                with connected(client) as line:
                    line.sendall(f"{head}{framing}{last}\r\n".encode())
                    line.sendall(content)
                    found, told, answer = read(line)
                    error = json.loads(answer)["error"]
                    assert found == status, answer
                    assert isinstance(error, str) or error["code"] == name.split()[0]
                    assert told["connection"] == "close"
                    assert line.recv(1) == b""


def test_who_waits_to_send_a_body_that_is_taken_is_told_to_go_on(tiny_repository: Path) -> None:
    content = b'{"model": "tiny", "inputs": [[0, 0, 0, 0, 0, 0]]}'
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"
    with serving(tiny_repository) as client, connected(client) as line:
        for _ in range(2):
            line.sendall(head + b"Content-Length: %d\r\n\r\n" % len(content))
            assert read(line)[0] == 100
            line.sendall(content)
            status, told, _ = read(line)
            assert (status, told.get("connection")) == (200, None)


@pytest.mark.parametrize("size", [1, SMALL_REST])
def test_after_a_small_rest_the_connection_goes_on(tiny_repository: Path, size: int) -> None:
    with serving(tiny_repository) as client, connected(client) as line:
        for _ in range(3):
            line.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
            status, told, _ = read(line)
            assert (status, told.get("connection")) == (404, None)
            line.sendall(bytes(size))
        line.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read(line)[0] == 200


def test_after_a_large_body_that_came_before_its_answer_it_goes_on_too(tiny_repository: Path) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with serving(tiny_repository) as client, connected(client) as line:
        for framing in FRAMINGS:
            line.sendall(head + framing.encode() + b"\r\n" + body(framing))
            status, told, _ = read(line)
            assert (status, told.get("connection")) == (422, None)


def test_a_head_that_is_too_long_may_be_sent_to_its_end(tiny_repository: Path) -> None:
    with serving(tiny_repository) as client, connected(client) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * LARGE + b"\r\n\r\n")
        assert read(line)[0] == 431
        assert LARGE > MOST_HEAD
        assert line.recv(1) == b""


def test_there_is_an_end_to_what_is_thrown_away(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering_transport, "MOST_BYTES", 2**20)
    with serving(tiny_repository) as client, connected(client) as line:
        line.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + FRAMINGS[0].encode() + b"\r\n")
        with pytest.raises(ConnectionError):  # noqa: PT012
            line.sendall(bytes(LARGE))
            line.sendall(bytes(LARGE))


def test_who_goes_on_sending_slowly_is_cut_off(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering_transport, "MOST_SECONDS", 0.3)
    with serving(tiny_repository) as client, connected(client) as line:
        line.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + FRAMINGS[0].encode() + b"\r\n")
        assert read(line)[0] == 404
        ended = threading.Event()
        with suppress(ConnectionError):
            for _ in range(int(PATIENCE / 0.05)):
                line.sendall(b"z")
                ended.wait(0.05)
            pytest.fail("the connection goes on")


def test_a_service_that_stops_goes_on_with_no_connection() -> None:
    """Even if the body came to its end after it was told to stop."""
    open_now: list[HttpProtocol] = []
    begun = threading.Event()

    class Noted(protocol_among(Connections(10, 10))):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            open_now.append(self)
            super().connection_made(transport)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        begun.set()
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    with in_thread(answer, Noted) as client, connected(client) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + FRAMINGS[0].encode() + b"\r\n")
        assert begun.wait(PATIENCE)
        open_now[0].loop.call_soon_threadsafe(open_now[0].shutdown)
        line.sendall(bytes(LARGE))
        status, told, _ = read(line)
        assert (status, told["connection"]) == (200, "close")


def test_a_connection_is_gone_when_it_is_closed(tiny_repository: Path) -> None:
    """Not when its garbage is collected: it may have a body of some hundred KiB."""
    gone: list[weakref.ref[HttpProtocol]] = []

    class Noted(protocol_among(Connections(10, 10))):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            gone.append(weakref.ref(self))
            super().connection_made(transport)

    gc.disable()
    try:
        with in_thread(application(tiny_repository), Noted) as client:
            for path in ("nowhere", "predict"):
                with connected(client) as line:
                    line.sendall(f"POST /{path} HTTP/1.1\r\nHost: x\r\n{FRAMINGS[0]}\r\n".encode())
                    read(line)
            until(lambda: [protocol() for protocol in gone] == [None, None])
    finally:
        gc.enable()
