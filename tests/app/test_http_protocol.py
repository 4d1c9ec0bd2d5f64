import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from app import http_protocol
from app.connections import Connections
from app.http_protocol import MOST_FIELDS, MOST_HEAD, MOST_PIPELINED, protocol_among
from tests.serving import PATIENCE, in_thread


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    size, more, digest = 0, True, hashlib.sha256()
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        digest.update(message.get("body", b""))
        more = message.get("more_body", False)
    names = b",".join(name for name, _ in scope["headers"])
    body = {"/names": names, "/digest": digest.hexdigest().encode()}.get(scope["path"], b"%d" % size)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(
        echo, port=0, log_level="error", http=protocol_among(Connections(1000, 10)), ws="none", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + PATIENCE
    while not server.started and time.monotonic() < until:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def talk(port: int, *parts: bytes, answers: int = 1) -> bytes:
    """What comes back, up to so many answers or the end."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        found = b""
        while found.count(b"\r\n\r\n") < answers:
            try:
                read = connection.recv(65536)
            except ConnectionResetError:
                break
            if not read:
                break
            found += read
        return found


def test_a_head_without_end_is_refused(port: int) -> None:
    found = talk(port, b"GET / HTTP/1.1\r\nhost: a\r\n", *[b"x-%d: %b\r\n" % (i, b"y" * 1000) for i in range(100)])
    assert found.startswith(b"HTTP/1.1 431 ")
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "headers_too_large"


def test_so_is_one_that_comes_at_once_and_the_next_connection_is_served(port: int) -> None:
    for path in (b"/", b"/v2/models/a"):
        found = talk(port, b"GET %b HTTP/1.1\r\nhost: a\r\nx: %b\r\n\r\n" % (path, b"y" * 70_000))
        assert found.startswith(b"HTTP/1.1 431 ")
        error = json.loads(found.partition(b"\r\n\r\n")[2])["error"]
        assert isinstance(error, str) == (path != b"/")
        assert talk(port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_empty_lines_without_end_are_refused(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert talk(port, *[b"\r\n" * 4000] * 20).startswith(b"HTTP/1.1 431 ")
    assert "Fatal error" not in caplog.text


@pytest.mark.parametrize("earlier", [b"", b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"])
@pytest.mark.parametrize(
    "wrong", [b"GET / HTTP/1.1\r\nhost: a\x00b\r\n\r\n", b"GET http://[::1 HTTP/1.1\r\nhost: a\r\n\r\n"]
)
def test_what_is_no_http_gets_the_error_body(port: int, wrong: bytes, earlier: bytes) -> None:
    found = talk(port, earlier, wrong, answers=2)
    if earlier:
        assert found.startswith(b"HTTP/1.1 200 ")
        found = found[found.index(b"HTTP/1.1 400") :]
    assert found.startswith(b"HTTP/1.1 400 ")
    assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "malformed_request"


@pytest.mark.parametrize(("sent", "kept"), [(b"x-request-id: abc-1\r\n", b"abc-1"), (b"", b"")])
def test_such_answers_carry_what_every_answer_does(port: int, sent: bytes, kept: bytes) -> None:
    long = b"GET / HTTP/1.1\r\nhost: a\r\n%bx: %b\r\n\r\n" % (sent, b"y" * 70_000)
    for request in (long, b"GET / HTTP/1.1\r\nhost: a\x00b\r\n\r\n"):
        head, _, body = talk(port, request).partition(b"\r\n\r\n")
        headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        assert headers[b"x-content-type-options"] == b"nosniff"
        assert b"default-src 'none'" in headers[b"content-security-policy"]
        found = json.loads(body)["error"]["request_id"].encode()
        assert headers[b"x-request-id"] == found
        assert found == kept if kept and request is long else len(found) == 32


@pytest.mark.parametrize("end", [b"", b"\r\n"])
def test_so_is_one_of_too_many_fields(port: int, end: bytes) -> None:
    for earlier in (0, 1):
        one = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n" * earlier
        found = talk(port, one + b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * (MOST_FIELDS + 2) + end, answers=1 + earlier)
        assert found.count(b"HTTP/1.1 200 ") == earlier
        assert found.count(b"HTTP/1.1 431 ") == 1
    found = talk(port, b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * MOST_FIELDS + b"\r\n")
    assert found.startswith(b"HTTP/1.1 200 ")


def test_so_is_a_single_header_without_end(port: int) -> None:
    found = talk(port, b"GET / HTTP/1.1\r\nhost: a\r\nx: ", *[b"y" * 1000] * 100)
    assert found.startswith(b"HTTP/1.1 431 ")


def test_fields_after_the_body_are_none_of_the_head(port: int) -> None:
    trailers = b"x-api-key: k\r\ncontent-encoding: gzip\r\n"
    request = b"POST /names HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n%b\r\n" % trailers
    found = talk(port, request * 2, answers=2)  # whole in one piece, before the application begins
    assert found.count(b"content-length: %d\r\n" % len(b"host,transfer-encoding")) == 2


def test_a_head_within_the_limit_and_a_body_of_any_size_are_taken(port: int) -> None:
    size = 3 * 2**20
    head = b"POST / HTTP/1.1\r\nhost: a\r\nx: %b\r\ncontent-length: %d\r\n\r\n" % (b"y" * (MOST_HEAD - 1000), size)
    found = talk(port, head, b"z" * size, head, b"z" * size, answers=2)
    assert found.count(b"HTTP/1.1 200 ") == 2
    assert found.count(b"%d" % size) == 2


@pytest.mark.parametrize("chunk", [1, 5000, 300_000])
def test_a_body_arrives_as_it_was_sent_whatever_its_parts(port: int, chunk: int) -> None:
    body = bytes(range(251)) * (20 if chunk == 1 else 4000)
    wanted = hashlib.sha256(body).hexdigest().encode()
    head = b"POST /digest HTTP/1.1\r\nHost: x\r\n"
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in chunks) + b"0\r\n\r\n"
    assert talk(port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked).endswith(wanted)
    assert talk(port, head + b"Content-Length: %d\r\n\r\n" % len(body), *chunks).endswith(wanted)


def test_bodies_do_not_count_as_the_head_of_what_follows(port: int) -> None:
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n" + b"z" * 60_000
    found = talk(port, *[request] * 5, answers=5)
    assert found.count(b"HTTP/1.1 200 ") == 5


def test_what_is_around_the_chunks_of_a_body_has_a_limit_too(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    assert talk(port, head, b"1\r\nz\r\n" * 10_000, b"0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    trailers = [b"x-%d: %b\r\n" % (i, b"y" * 10_000) for i in range(200)]
    assert talk(port, head, b"1\r\nz\r\n0\r\n", *trailers).startswith(b"HTTP/1.1 431 ")


def test_only_so_many_requests_wait_for_earlier_ones_of_their_connection(port: int) -> None:
    most, request = MOST_PIPELINED + 1, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"  # one is at work
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
        line.sendall(request * 1000)
        assert _statuses(line) == [b"200"] * most + [b"503"]  # and then it is closed
    assert talk(port, request * most, answers=most).count(b"HTTP/1.1 200 ") == most


def test_the_answer_to_head_is_a_head(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line:
        for _ in range(2):
            line.sendall(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert line.recv(65536).endswith(b"content-length: 1\r\n\r\n")


def test_a_head_that_begins_before_the_answer_has_as_long_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = protocol_among(Connections(1000, 10))
    begin = kept.connection_made

    def hasty(self: Any, transport: Any) -> None:
        self.timeout_keep_alive = 0.1
        begin(self, transport)

    monkeypatch.setattr(kept, "connection_made", hasty)
    request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
    with in_thread(echo, kept) as client, socket.socket() as line:
        line.settimeout(PATIENCE)
        line.connect((client.base_url.host, client.base_url.port or 0))
        line.sendall(request + request[:9])
        time.sleep(0.5)
        line.sendall(request[9:])
        assert len(_statuses(line)) == 2  # and then it rests for too long


def _statuses(connection: socket.socket) -> list[bytes]:
    found = b""
    while part := connection.recv(2**16):
        found += part
    return re.findall(rb"HTTP/1.1 (\d+)", found)


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, threading.Event]]:
    """A client with a small window that asked for 64 MiB, and whether writing them has ended; it may read nothing for a
    second."""
    monkeypatch.setattr(http_protocol, "MOST_SECONDS_UNREAD", 1.0)
    ended = threading.Event()

    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        for _ in range(1024):
            await send({"type": "http.response.body", "body": bytes(2**16), "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        ended.set()

    with in_thread(much, protocol_among(Connections(1000, 2))) as client, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**16)
        connection.settimeout(PATIENCE)
        connection.connect((client.base_url.host, client.base_url.port or 0))
        connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        yield connection, ended


def _read_all(connection: socket.socket, pause: float = 0.0) -> int:
    size = 0
    with suppress(ConnectionResetError):
        while part := connection.recv(2**20):
            size += len(part)
            time.sleep(pause)
    return size


def test_who_does_not_read_an_answer_is_cut_off(unread: tuple[socket.socket, threading.Event]) -> None:
    connection, ended = unread
    assert not ended.wait(0.5)
    assert ended.wait(PATIENCE)
    assert _read_all(connection) < 2**26


def test_who_reads_it_slowly_is_not(unread: tuple[socket.socket, threading.Event]) -> None:
    connection, ended = unread
    began = time.monotonic()
    assert _read_all(connection, pause=0.002) > 2**26
    assert time.monotonic() - began > 1.0
    assert ended.wait(PATIENCE)
