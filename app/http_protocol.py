"""uvicorn's HTTP protocol with limits for what comes beside a body, and our error body where nobody else answers."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.error_handlers import problem
from app.api.request_ids import HEADER, id_of
from app.api.security_headers import security_headers
from app.errors import HeadersTooLarge, MalformedRequest, ServiceError

MOST_HEAD = 2**16
"""Bytes of request line and headers together."""
_MOST_FRAMING = 2**20  # bytes around the chunks of a body, and of headers after it


class HttpProtocol(HttpToolsProtocol):
    """Answers 431 and closes where more comes beside the body than may, and 400 where it is no HTTP."""

    _beside = 0
    _in_head = True
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._refused:
            return
        self._beside += len(data)
        super().data_received(data)
        if self._beside > MOST_HEAD and not self._refused and self._beside > self._most():
            self._refuse_head()

    def on_headers_complete(self) -> None:
        """A head is whole; one that came in few reads is measured by what it holds."""
        if self._beside > MOST_HEAD and self._size_of_head() > MOST_HEAD:
            self._refuse_head()
            return
        self._in_head = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of a body."""
        self._beside -= len(body)
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._beside = 0
        self._in_head = True
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn answers to what is no HTTP, in our form."""
        if not self._refused:
            self._refuse(MalformedRequest(MalformedRequest.example))

    def _most(self) -> int:
        return MOST_HEAD if self._in_head else _MOST_FRAMING

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse_head(self) -> None:
        what = "the head of a request" if self._in_head else "what is around the chunks of a body"
        self._refuse(HeadersTooLarge(f"{what} may have {self._most()} bytes"))

    def _refuse(self, error: ServiceError) -> None:
        """Answers, unless an earlier request still waits for its answer, and closes."""
        self._refused = True
        waits = self.cycle is not None and not self.cycle.response_complete
        if not waits or not self._in_head:
            path = getattr(self, "url", b"").partition(b"?")[0].decode("latin-1")
            request_id = id_of(getattr(self, "headers", ()))
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
