"""uvicorn's HTTP protocol with limits for everything but the body, and with our error body for malformed requests.

uvicorn's fast parser, httptools, limits neither the request line nor the headers; a client could fill the memory.
Offers of another protocol are passed over: the request is answered as if it made none.
"""

from asyncio import AbstractEventLoop, Transport
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.api.body import MOST_SECONDS
from app.api.refusal import Refusal
from app.api.request_ids import id_of
from app.connections import Connections
from app.entrance import Entrance
from app.errors import ConnectionsFull, HeadersTooLarge, MalformedRequest, PipelineFull, RequestTimeout, ServiceError
from app.http_parser import HttpParser
from app.lingering_transport import LingeringTransport
from app.telemetry.trace_context import context_of, span_in

MOST_HEAD = 2**16
"""Most bytes of request line and headers together."""
MOST_FIELDS = 256
"""Most header fields. One of 5 bytes takes 120 in memory."""
MOST_PIPELINED = 16
"""Most requests of a connection that wait for earlier ones. Each takes 10 KB, and a read may hold 8,000 of them."""
MOST_SECONDS_UNREAD = 60
"""How many seconds a client may take to read what waits for it, at most 256 KiB; it is held in memory for so long."""
MOST_SECONDS_BODY = MOST_SECONDS + 1
"""How many seconds any body may take; who reads a large one gives up before, and knows better what to say."""
SMALL_REST = 2**16
"""Bytes of a body up to which a connection goes on if its request was answered before all of it came."""
_MOST_FRAMING = 2**20  # bytes around the chunks of a body, and of trailers; small chunks need more than a head


class HttpProtocol(HttpToolsProtocol):
    """Answers 431 and closes if head or framing is over the limit; answers 400 if the bytes are not HTTP.

    A client whose request is answered before its body has come gets to read the answer, whatever the answer is: a small
    rest is thrown away and the connection goes on; with a larger one, or one of unknown length, it lingers and closes.
    """

    transport: LingeringTransport  # type: ignore[assignment]
    _beside = 0  # bytes read since the last request's end, less those of the body
    _in_head = True
    _is_uncounted = False  # whether the first bytes of a head came with the end of another request
    _refused = False
    _farewell: bytes | None = None  # a refusal that waits until earlier requests are answered
    _earlier: RequestResponseCycle | None = None  # the request before the one in `cycle`
    _keeps_alive = True  # whether the connection goes on after the request in `cycle`, once all of its body has come
    _is_weighed = False  # whether `_weigh` has seen that request
    _owed_since: float | None = None  # since when the client has begun to send a head or a body, and not ended it
    _unread_since: float | None = None
    _among: Connections
    _entrance: Entrance | None  # None for an application that refuses nobody

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser: HttpParser = HttpParser(self)  # type: ignore[assignment]
        self.url, self.headers = b"", []  # uvicorn sets them with the first byte of a request, not before

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.transport.is_closing():
            self.transport.discard(len(data))
            return
        if self._refused:
            return
        self._beside += len(data)  # before the parser, whose callbacks take off what was body
        if self._owed_since is None:
            self._owed_since = self.loop.time()
        super().data_received(data)
        is_long = self._beside > MOST_HEAD and self._beside > self._most()
        if (is_long or len(self.headers) > MOST_FIELDS) and not self._refused:
            self._refuse_head()
        if self._refused:
            self.headers.clear()  # the connection may linger
        elif not (self._in_head or self._is_weighed):
            self._weigh()

    def on_message_begin(self) -> None:
        """The first byte of a request, which may have come with the end of the one before."""
        if self._owed_since is None and not self._refused:
            self._owed_since = self.loop.time()
        self._is_uncounted = not self._beside
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is complete; its parts are measured, since a read may hold some of the body, too."""
        if self._refused:
            return
        is_long = (self._is_uncounted or self._beside > MOST_HEAD) and self._size_of_head() > MOST_HEAD
        if is_long or len(self.headers) > MOST_FIELDS:
            self._refuse_head()
            return
        if self.parser.is_offer():
            if self.parser.get_method() == b"CONNECT":
                self._refuse(MalformedRequest(MalformedRequest.example))
            return  # the head is read again without the offer
        if self.cycle is None and not self._among.admit(self):
            self._refuse(
                ConnectionsFull(f"{self._among.most} connections are at work (MASKSEMBLES_MAX_CONNECTIONS)", 1)
            )
            return
        if len(self.pipeline) >= MOST_PIPELINED:
            self._refuse(PipelineFull(f"{MOST_PIPELINED} requests of this connection wait for earlier ones already", 1))
            return
        self._earlier = self.cycle if self._is_at_work() else None
        self._among.begin(self)
        super().on_headers_complete()  # raises if the URL is none; then there is no request yet
        self._in_head = False
        # the application has the other list: fields after the body must not add a key or an encoding to the head
        self.headers = self.headers.copy()
        self.transport.is_sending = True
        self._owed_since = self.loop.time()
        self._keeps_alive, self._is_weighed = self.cycle.keep_alive, False

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._beside -= len(body)
        if self._refused:
            return
        if not self.cycle.body:  # nothing waits, as ever with large parts: b"" + part is the part, not copied twice
            self.cycle.body = b""  # type: ignore[assignment]
        elif isinstance(self.cycle.body, bytes):
            self.cycle.body = bytearray(self.cycle.body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self.parser.is_offer():
            return
        self._beside = 0  # the next one on the connection starts anew
        self._in_head = True
        self._owed_since = None
        if not self._refused:
            self.transport.is_sending = False
            super().on_message_complete()
            if self._is_weighed and not self.cycle.response_started:
                self.cycle.keep_alive = self._keeps_alive
        self.url, self.headers = b"", []

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to bytes that are not HTTP, in our format."""
        if not self._refused:  # a refusal inside a callback has answered already
            self._refuse(MalformedRequest(MalformedRequest.example))

    def on_response_complete(self) -> None:
        """A request is answered; uvicorn begins the next one that has arrived."""
        self.transport.flush()  # the answer to HEAD has nothing but its head
        last = not self.pipeline
        super().on_response_complete()
        if last:
            self._among.rest(self)
            if self._in_head and self._owed_since is not None:  # it does not rest: the next head has begun
                self._unset_keepalive_if_required()
            if self.transport.is_closing():
                self.cycle.body = bytearray()  # it may linger
            if self._farewell is not None and not self.transport.is_closing():
                self._say(self._farewell)

    def begin(self, cycle: RequestResponseCycle) -> None:
        """Hands a request to the application."""
        super()._start_asgi_task(cycle, self.app)

    def turn_away(self, cycle: RequestResponseCycle, refusal: Refusal, request_id: bytes, trace: bytes) -> None:
        """Answers a request that has not begun. What has come of its body is thrown away, and so is what will."""
        cycle.response_started = cycle.response_complete = True
        cycle.body = bytearray()
        if not cycle.disconnected:
            headers = cycle.default_headers
            if not cycle.keep_alive:
                headers = [*headers, (b"connection", b"close")]
            self.transport.write(refusal.answer(request_id, trace, headers))
            self.transport.flush()
            if not cycle.keep_alive:
                self.transport.close()
            cycle.on_response()
        cycle.on_response = _nothing  # or each would hold the other

    def resume_writing(self) -> None:
        """The client has read nearly all that was written."""
        self._unread_since = None
        super().resume_writing()

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """The connection is open; its client has to send a request."""
        super().connection_made(LingeringTransport(transport, self.loop.time))  # type: ignore[arg-type]
        self._owed_since = self.loop.time()
        self._among.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._among.remove(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: this is the connection's last request."""
        self._keeps_alive = False
        super().shutdown()

    def end_if_overdue(self, now: float) -> None:
        """Closes the connection if its client sends or reads too slowly; answers 408 where it can."""
        if not self.transport.get_write_buffer_size():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since > MOST_SECONDS_UNREAD:
            self.abandon()
            return
        self.transport.end_if_overdue(now)
        if self._owed_since is None or self.transport.is_closing():
            return
        most = self._among.head_seconds if self._in_head else MOST_SECONDS_BODY
        if self.flow.read_paused:  # it cannot send
            self._owed_since = now
        elif now - self._owed_since > most:
            if self.cycle is None and not self._beside:  # who sent nothing does not expect an answer
                self.transport.close()
            else:
                what = "head" if self._in_head else "body"
                self._refuse(RequestTimeout(f"the {what} of the request did not come within {most:g} seconds"))

    def waiting_since(self) -> float | None:
        """Since when the client has to send or read, by the clock of the event loop; None if it has to do neither."""
        return self._owed_since if self._unread_since is None else self._unread_since

    def abandon(self) -> None:
        """Closes the connection without waiting for the client to read."""
        self.transport.abort()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """It is a request's turn on the connection."""
        if self._entrance is None:
            super()._start_asgi_task(cycle, app)
        else:
            self._entrance.enter(self, cycle)

    def _weigh(self) -> None:
        """Decides whether the connection goes on if the answer begins before all of the body has come.

        After a client that waits for `100 Continue` it does not: it would have to send its body for nothing.
        """
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        is_small = length.isdigit() and int(length) <= SMALL_REST
        self._is_weighed = True
        if not self.cycle.response_started and (self.expect_100_continue or not is_small):
            self.cycle.keep_alive = False

    def _most(self) -> int:
        return MOST_HEAD if self._in_head else _MOST_FRAMING

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse_head(self) -> None:
        what = "the head of a request" if self._in_head else "what is around the chunks of a body"
        self._refuse(HeadersTooLarge(f"{what} may have {self._most()} bytes and {MOST_FIELDS} fields"))

    def _refuse(self, error: ServiceError) -> None:
        """Answers as soon as all earlier requests are answered, and closes; nothing more is read."""
        self._refused = self.transport.is_sending = True  # the parser still calls back for the rest of the read
        self._owed_since = None
        if not self._in_head and self.pipeline:  # the request itself waits for earlier ones: it never begins
            self.pipeline.popleft()
            self.cycle = self._earlier  # type: ignore[assignment]  # there is one
        elif not self._in_head:
            begun = self.cycle.response_started
            self.cycle.disconnected = True  # whatever works on it stops
            self.cycle.message_event.set()
            if begun:  # the client would take this for a part of the answer
                self.transport.close()
            else:
                self._say(self._refusal(error))
            return
        if self._is_at_work():
            self._farewell = self._refusal(error)
        else:
            self._say(self._refusal(error))

    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refusal(self, error: ServiceError) -> bytes:
        refusal = Refusal(self.url.partition(b"?")[0].decode("latin-1"), error)
        trace = span_in(context_of(self.headers))
        return refusal.answer(id_of(self.headers), trace, [(b"connection", b"close")])

    def _say(self, last: bytes) -> None:
        self.transport.write(last)
        self.transport.close()
        self._among.rest(self)


def protocol_among(connections: Connections, entrance: Entrance | None = None) -> type[HttpProtocol]:
    """The protocol of a server's connections; uvicorn takes a class.

    Args:
        entrance: the way to the application; by default, requests go straight to it.
    """
    return type("HttpProtocol", (HttpProtocol,), {"_among": connections, "_entrance": entrance})


def _nothing() -> None:
    """What is left to do once a response is complete."""
