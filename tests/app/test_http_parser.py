"""A request that offers another protocol is answered as the same request is without the offer, however it is cut."""

import asyncio
import hashlib
from collections.abc import Iterable
from typing import Any, cast

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.connections import Connections
from app.http_parser import HttpParser
from app.http_protocol import MOST_PIPELINED, protocol_among

OFFERS = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",  # a Java client's
    b"Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n",
    b"upgrade: foo/2, bar\r\nconnection: keep-alive\r\nconnection: UPGRADE\r\nupgrade: baz\r\n",
)
BODY = b"GET /in/the/body HTTP/1.1\r\n\r\n"  # what must not be taken for a request
FRAMINGS = {
    "a length": b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    "chunks": b"Transfer-Encoding: chunked\r\n\r\n9\r\n%b\r\n%x\r\n%b\r\n0\r\nTrailer: a\r\n\r\n"
    % (BODY[:9], len(BODY) - 9, BODY[9:]),
    "no body": b"\r\n",
}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    said = b"%b %b %b" % (scope["method"].encode(), scope["raw_path"], hashlib.sha256(body).hexdigest().encode())
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


class Line:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def write_eof(self) -> None:
        self.closing = True  # for the client, to whom nothing more comes

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, _: str) -> None:
        return None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


CONFIG = uvicorn.Config(echo, ws="none", lifespan="off")


def answer(pieces: Iterable[bytes]) -> tuple[bytes, bool]:
    """What is written on a connection that brings these pieces, and whether it is closed then."""

    async def talk() -> tuple[bytes, bool]:
        line = Line()
        protocol = protocol_among(Connections(10, 10))(CONFIG, ServerState(), {}, asyncio.get_running_loop())
        protocol.connection_made(cast(Any, line))
        for piece in pieces:
            protocol.data_received(piece)
            await asyncio.sleep(0)
        while protocol.tasks and not line.closing:
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        return line.written, line.closing

    return asyncio.run(talk())


def request(offer: bytes, framing: bytes, *, version: bytes = b"1.1", method: bytes = b"POST") -> bytes:
    return b"%b /a?b=c HTTP/%b\r\nHost: x\r\n%b%b" % (method, version, offer, framing)


NEXT = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
@pytest.mark.parametrize("offer", OFFERS)
def test_wherever_it_is_cut_the_answer_is_that_without_the_offer(offer: bytes, framing: bytes) -> None:
    expected = answer([request(b"", framing) + NEXT])
    assert expected[0].count(b"HTTP/1.1 200 OK") == 2
    whole = request(offer, framing) + NEXT
    for at in range(len(whole) + 1):
        assert answer([whole[:at], whole[at:]]) == expected, at
    assert answer(whole[at : at + 1] for at in range(len(whole))) == expected


@st.composite
def conversations(draw: st.DrawFn) -> tuple[bytes, bytes, list[int]]:
    """Requests, some with an offer; the same without offers; and where they are cut."""
    offering = plain = b""
    for _ in range(draw(st.integers(1, 4))):
        framing = draw(st.sampled_from(list(FRAMINGS.values())))
        method = draw(st.sampled_from([b"POST", b"GET", b"PUT"]))
        extra = draw(st.sampled_from([b"", b"Expect: 100-continue\r\n", b"X-A: b\r\n"]))
        offering += request(extra + draw(st.sampled_from([b"", *OFFERS])), framing, method=method)
        plain += request(extra, framing, method=method)
    return offering, plain, sorted(draw(st.lists(st.integers(0, len(offering)), max_size=8)))


@given(conversations())
def test_so_it_is_among_other_requests_in_any_pieces(drawn: tuple[bytes, bytes, list[int]]) -> None:
    offering, plain, cuts = drawn
    pieces = [offering[a:b] for a, b in zip([0, *cuts], [*cuts, len(offering)])]
    assert _answers(answer(pieces)) == _answers(answer([plain]))


def _answers(found: tuple[bytes, bool]) -> tuple[bytes, bool]:
    """Without interim answers: whether one is sent depends on whether the body is there already."""
    return found[0].replace(b"HTTP/1.1 100 Continue\r\n\r\n", b""), found[1]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_an_offer_beside_a_close_or_of_an_old_client_is_passed_over_too(version: bytes, framing: bytes) -> None:
    close = b"Connection: close\r\n"
    found = answer([request(OFFERS[0] + close, framing, version=version)])
    assert found == answer([request(close, framing, version=version)])
    assert found[0].startswith(b"HTTP/1.1 200 OK")
    assert found[1]


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: gzip\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\nx\r\n"])
def test_a_body_that_cannot_be_read_is_refused_with_an_offer_as_without(framing: bytes) -> None:
    def head(found: tuple[bytes, bool]) -> tuple[bytes, bool]:
        return found[0][:12], found[1]

    found = head(answer([request(OFFERS[1], framing)]))
    assert found == head(answer([request(b"", framing)])) == (b"HTTP/1.1 400", True)


@pytest.mark.parametrize("target", [b"example.com:443", b"/"])
def test_nothing_in_a_tunnel_is_taken_for_a_request(target: bytes) -> None:
    tunnel = b"CONNECT %b HTTP/1.1\r\nHost: x\r\n\r\n" % target
    for pieces in ([tunnel + NEXT, NEXT], [tunnel, NEXT]):
        written, closed = answer(pieces)
        assert written.startswith(b"HTTP/1.1 400 ")
        assert written.count(b"HTTP/1.1") == 2  # the other one is in the message
        assert closed


def test_many_offers_in_one_piece_are_all_answered() -> None:
    count = MOST_PIPELINED + 1
    one = request(OFFERS[0], FRAMINGS["no body"], method=b"GET")
    assert answer([one * count])[0].count(b"HTTP/1.1 200 OK") == count


def test_a_parser_says_what_httptools_says_of_a_request() -> None:
    said: list[Any] = []

    class Listener:
        url = b""
        headers: list[tuple[bytes, bytes]]

        def on_message_begin(self) -> None:
            self.url, self.headers = b"", []

        def on_url(self, url: bytes) -> None:
            self.url += url

        def on_header(self, name: bytes, value: bytes) -> None:
            self.headers.append((name.lower(), value))

        def on_headers_complete(self) -> None:
            said.append((parser.is_offer(), parser.should_upgrade(), parser.get_method(), parser.should_keep_alive()))

    parser = HttpParser(Listener())
    parser.feed_data(request(OFFERS[0], FRAMINGS["a length"]))
    assert said == [(True, False, b"POST", True), (False, False, b"POST", True)]
