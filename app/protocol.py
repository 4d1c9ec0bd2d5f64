"""uvicorn's HTTP protocol with limits for what comes beside a body: the parser itself would take any head."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD = 2**16
"""Bytes of request line and headers together."""
_MOST_FRAMING = 2**20  # bytes around the chunks of a body, and of headers after it

_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b"
)
_BODY = b'{"error":{"code":"head_too_large","message":"the head of a request may have %d bytes","request_id":""}}'


class Protocol(HttpToolsProtocol):
    """Answers 431 and closes where more comes beside the body than may; one read of the socket may go beyond it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._beside = 0
        self._most = MOST_HEAD

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self._beside += len(data)
        super().data_received(data)
        if self._beside > self._most and not self.transport.is_closing():
            body = _BODY % MOST_HEAD
            self.transport.write(_ANSWER % (len(body), body))
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._most = _MOST_FRAMING
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of a body."""
        self._beside -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._beside = 0
        self._most = MOST_HEAD
        super().on_message_complete()
