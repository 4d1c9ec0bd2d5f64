"""Clients that send or read too slowly, that come in too great a number, or whose refusal has to wait for its turn."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from app import http_protocol
from app.connections import Connections
from app.http_protocol import MOST_HEAD, protocol_among
from tests.app.engine.fakes import until
from tests.serving import PATIENCE, in_thread

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD_SECONDS = 0.6
DRIP = 0.05


class Service:
    """An application whose requests for /slow are answered when told to, and which reads bodies of POSTs only."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.begun: list[str] = []
        self.left: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.begun.append(path)
        more = scope["method"] == "POST"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.append(path)
                return
            more = message["more_body"]
        while path == "/slow" and not self.go_on.is_set():
            await asyncio.sleep(0.01)
        size = 40_000 if path == "/large" else len(path)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
        await send({"type": "http.response.body", "body": path.encode().ljust(size)})


@contextmanager
def serve(app: ASGIApp, most: int = 1000, head_seconds: float = HEAD_SECONDS) -> Iterator[Callable[[], socket.socket]]:
    """What connects to the application."""
    with in_thread(app, protocol_among(Connections(most, head_seconds))) as client, ExitStack() as opened:

        def connect() -> socket.socket:
            address = (client.base_url.host, client.base_url.port or 0)
            return opened.enter_context(socket.create_connection(address, timeout=PATIENCE))

        yield connect


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def connect(service: Service) -> Iterator[Callable[[], socket.socket]]:
    with serve(service) as connect:
        yield connect


def rest(line: socket.socket) -> bytes:
    """What comes until the connection ends."""
    found = b""
    with suppress(ConnectionResetError):
        while part := line.recv(65536):
            found += part
    return found


def drip(line: socket.socket, piece: bytes) -> bytes:
    """Sends a piece over and over until the connection ends; what has come by then."""
    until = time.monotonic() + PATIENCE
    line.settimeout(DRIP)
    found = b""
    while time.monotonic() < until:
        try:
            line.sendall(piece)
            part = line.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            return found
        found += part
        if not part:
            return found
    pytest.fail("the connection goes on")


def codes(found: bytes) -> list[str]:
    """The paths and the codes of errors in the bodies of answers."""
    answers = []
    while found:
        head, _, rest = found.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body, found = rest[:size], rest[size:]
        answers.append(body.decode() if b" 200 " in head else json.loads(body)["error"]["code"])
    return answers


def test_who_sends_nothing_is_cut_off_without_an_answer(connect: Callable[[], socket.socket]) -> None:
    began = time.monotonic()
    assert rest(connect()) == b""
    assert time.monotonic() - began >= HEAD_SECONDS


@pytest.mark.parametrize("start", [b"GET /", b"POST /predict HTTP/1.1\r\nX: ", b"\r\n"])
def test_who_sends_a_head_a_byte_at_a_time_gets_a_408(connect: Callable[[], socket.socket], start: bytes) -> None:
    line = connect()
    line.sendall(start)
    began = time.monotonic()
    found = drip(line, b"\r\n" if start == b"\r\n" else b"X")
    assert codes(found) == ["request_timeout"]
    assert "the head of the request did not come within 0.6 seconds" in found.decode()
    assert time.monotonic() - began >= HEAD_SECONDS / 2


@pytest.mark.parametrize("start", [b"G", b"POST /predict HTTP/1.1\r\nX: "])
def test_who_stops_in_a_head_gets_a_408_too(connect: Callable[[], socket.socket], start: bytes) -> None:
    line = connect()
    line.sendall(start)
    assert codes(rest(line)) == ["request_timeout"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("start", [b"GET /b HTTP/1.1\r\nX: ", b"\r\n"])
def test_so_does_who_begins_slowly_on_another_request(
    connect: Callable[[], socket.socket], start: bytes, together: bool
) -> None:
    line = connect()
    line.sendall(GET + start if together else GET)
    first = line.recv(65536)
    if not together:
        line.sendall(start)
    assert codes(first + drip(line, b"\r\n" if start == b"\r\n" else b"X")) == ["/a", "request_timeout"]


def test_who_sends_a_head_slowly_but_in_time_is_answered(connect: Callable[[], socket.socket]) -> None:
    line = connect()
    for _ in range(3):
        for at in range(0, len(GET), 6):
            line.sendall(GET[at : at + 6])
            time.sleep(0.01)
        assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
        time.sleep(HEAD_SECONDS)  # between requests it may rest


def test_a_request_that_takes_long_does_not_count_as_slow(
    service: Service, connect: Callable[[], socket.socket]
) -> None:
    line = connect()
    line.sendall(GET.replace(b"/a", b"/slow"))
    time.sleep(2 * HEAD_SECONDS)
    service.go_on.set()
    assert line.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("framing", [b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1\r\n"])
def test_a_small_body_that_comes_slowly_gets_a_408(
    service: Service, connect: Callable[[], socket.socket], framing: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "MOST_SECONDS_BODY", 0.3)
    line = connect()
    line.sendall(b"POST /b HTTP/1.1\r\nHost: x\r\n" + framing)
    assert codes(drip(line, b"z" if b"Length" in framing else b"z\r\n1\r\n")) == ["request_timeout"]
    until(lambda: service.left == ["/b"], PATIENCE)


def test_a_body_that_nobody_reads_keeps_no_connection_open(
    connect: Callable[[], socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "MOST_SECONDS_BODY", 0.3)
    line = connect()
    line.sendall(b"GET /b HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert codes(drip(line, b"z")) == ["/b"]


REFUSED = {
    "headers_too_large": b"GET /b HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"y" * (MOST_HEAD + 1)) + GET,
    "malformed_request": b"nonsense\r\n\r\n" + GET,
    "request_timeout": b"GET /b HT",
    "malformed_request  ": b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n" + GET,
    "malformed_request ": b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
}


@pytest.mark.parametrize("earlier", [1, 3])
@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_waits_until_what_came_before_is_answered(
    service: Service, connect: Callable[[], socket.socket], code: str, earlier: int
) -> None:
    line = connect()
    line.sendall(GET.replace(b"/a", b"/slow") + GET * (earlier - 1) + REFUSED[code])
    line.settimeout(1.5 * HEAD_SECONDS)
    with pytest.raises(TimeoutError):
        line.recv(65536)
    service.go_on.set()
    line.settimeout(PATIENCE)
    assert codes(rest(line)) == ["/slow", *["/a"] * (earlier - 1), code.strip()]
    assert service.begun == ["/slow", *["/a"] * (earlier - 1)]


def test_a_body_that_breaks_off_after_its_answer_brings_no_second_one(connect: Callable[[], socket.socket]) -> None:
    line = connect()
    line.sendall(b"GET /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    found = line.recv(65536)
    line.sendall(b"x\r\n")
    assert codes(found + rest(line)) == ["/b"]


def test_whoever_reads_a_body_that_breaks_off_is_told(service: Service, connect: Callable[[], socket.socket]) -> None:
    line = connect()
    line.sendall(b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\nx\r\n")
    assert codes(rest(line)) == ["malformed_request"]
    until(lambda: service.left == ["/b"], PATIENCE)


def test_the_longest_idle_connection_makes_room(service: Service) -> None:
    with serve(service, most=4, head_seconds=PATIENCE) as connect:
        busy, silent, used = connect(), connect(), connect()
        busy.sendall(GET.replace(b"/a", b"/slow"))
        used.sendall(GET)
        assert used.recv(65536)
        until(lambda: "/slow" in service.begun, PATIENCE)
        lines = [connect() for _ in range(20)]
        assert rest(silent) == rest(used) == b""
        for line in lines[:-3]:
            assert rest(line) == b""
        for line in lines[-3:]:
            line.sendall(GET)
            assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
        service.go_on.set()
        assert busy.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_where_all_are_at_work_one_more_gets_a_503(service: Service) -> None:
    with serve(service, most=3, head_seconds=PATIENCE) as connect:
        lines = [connect() for _ in range(3)]
        for line in lines:
            line.sendall(GET.replace(b"/a", b"/slow"))
        until(lambda: len(service.begun) == 3, PATIENCE)
        another = connect()
        another.sendall(GET)
        found = rest(another)
        assert codes(found) == ["connections_full"]
        assert b"retry-after: 1\r\n" in found
        service.go_on.set()
        for line in lines:
            assert line.recv(65536).startswith(b"HTTP/1.1 200 ")
        another = connect()
        another.sendall(GET)
        assert another.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_bodies_that_drip_make_room_after_a_while(service: Service) -> None:
    with serve(service, most=3, head_seconds=0.5) as connect:
        lines: list[socket.socket] = []
        for path in (b"/b", b"/c", b"/d"):
            lines.append(connect())
            lines[-1].sendall(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nz" % path)
            until(lambda: path.decode() in service.begun, PATIENCE)  # noqa: B023
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            another = connect()
            another.sendall(GET)
            if another.recv(65536).startswith(b"HTTP/1.1 200 "):
                break
            another.close()
            time.sleep(0.05)
        else:
            pytest.fail("no body makes room")
        assert rest(lines[0]) == b""
        until(lambda: service.left == ["/b"], PATIENCE)


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
def test_an_answer_of_any_size_that_is_not_read_is_given_up(
    monkeypatch: pytest.MonkeyPatch, service: Service, last: bytes
) -> None:
    monkeypatch.setattr(http_protocol, "MOST_SECONDS_UNREAD", 1.0)
    seen: list[asyncio.Transport] = []

    class Narrow(protocol_among(Connections(10, 0.4))):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            seen.append(transport)
            super().connection_made(transport)

    with in_thread(service, Narrow) as client, socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect((client.base_url.host, client.base_url.port or 0))
        line.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n%b\r\n" % last)
        until(lambda: bool(seen), PATIENCE)
        until(lambda: seen[0].get_write_buffer_size() > 0, PATIENCE)
        began = time.monotonic()
        line.settimeout(PATIENCE)
        for _ in range(8):
            assert len(line.recv(10)) == 10  # a few bytes are no reason to keep it
            time.sleep(0.1)
        until(lambda: seen[0].get_write_buffer_size() == 0, PATIENCE)
        assert time.monotonic() - began > 0.5
        assert len(rest(line)) < 40_000
