"""uvicorn's HTTP protocol with limits for everything but the body, and with our error body for malformed requests.

uvicorn's fast parser, httptools, limits neither the request line nor the headers; a client could fill the memory.
Offers of another protocol are passed over: the request is answered as if it made none.
"""

from asyncio import AbstractEventLoop, TimerHandle
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from app.api.error_handlers import problem
from app.api.request_ids import HEADER, id_of
from app.api.security_headers import security_headers
from app.errors import HeadersTooLarge, MalformedRequest, ServiceError
from app.http_parser import HttpParser

MOST_HEAD = 2**16
"""Most bytes of request line and headers together."""
MOST_SECONDS_UNREAD = 60
"""How many seconds a client may read nothing of an answer; it is held in memory for so long."""
_MOST_FRAMING = 2**20  # bytes around the chunks of a body, and of trailers; small chunks need more than a head


class HttpProtocol(HttpToolsProtocol):
    """Answers 431 and closes if head or framing is over the limit; answers 400 if the bytes are not HTTP."""

    _beside = 0  # bytes read since the last request's end, less those of the body
    _in_head = True
    _refused = False
    _unread: TimerHandle | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser: HttpParser = HttpParser(self)  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._refused:
            return
        self._beside += len(data)  # before the parser, whose callbacks take off what was body
        super().data_received(data)
        if self._beside > MOST_HEAD and not self._refused and self._beside > self._most():
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """The head is complete; its parts are measured, since a read may hold some of the body, too."""
        if self._refused:
            return
        if self._beside > MOST_HEAD and self._size_of_head() > MOST_HEAD:
            self._refuse_head()
            return
        if self.parser.is_offer():
            if self.parser.get_method() == b"CONNECT":
                self._refuse(MalformedRequest(MalformedRequest.example))
            return  # the head is read again without the offer
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body."""
        self._beside -= len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is complete."""
        if self.parser.is_offer():
            return
        self._beside = 0  # the next one on the connection starts anew
        self._in_head = True
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """uvicorn's answer to bytes that are not HTTP, in our format."""
        if not self._refused:  # a refusal inside a callback has answered already
            self._refuse(MalformedRequest(MalformedRequest.example))

    def pause_writing(self) -> None:
        """The client does not read its answer as fast as it is written."""
        super().pause_writing()
        self._unread = self.loop.call_later(
            MOST_SECONDS_UNREAD, self.transport.abort
        )  # close would wait for the client

    def resume_writing(self) -> None:
        """The client reads on."""
        self._stop_waiting()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _most(self) -> int:
        return MOST_HEAD if self._in_head else _MOST_FRAMING

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse_head(self) -> None:
        what = "the head of a request" if self._in_head else "what is around the chunks of a body"
        self._refuse(HeadersTooLarge(f"{what} may have {self._most()} bytes"))

    def _refuse(self, error: ServiceError) -> None:
        """Answers, unless an earlier request still waits for its answer, and closes."""
        self._refused = True  # the parser still calls back for the rest of the read
        waits = self.cycle is not None and not self.cycle.response_complete
        if not waits or not self._in_head:  # else the client would take it for the earlier request's answer
            # uvicorn sets the URL with the first byte of a request, not before, and headers to None until then
            path = getattr(self, "url", b"").partition(b"?")[0].decode("latin-1")
            request_id = id_of(self.headers or ())
            status, body = problem(path, error, request_id.decode())
            headers = [
                (b"content-type", b"application/json"),
                (b"connection", b"close"),
                (b"content-length", b"%d" % len(body)),
                *security_headers(path),
                (HEADER, request_id),
            ]
            head = b"".join(b"%s: %s\r\n" % header for header in headers)
            self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        self.transport.close()
