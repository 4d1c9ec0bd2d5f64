"""httptools' parser for a server that speaks nothing but HTTP/1.1: an offer of another protocol is passed over.

By itself the parser ends at the head of a request that offers one (`Upgrade: h2c`, as every Java client sends by
default): it takes whatever follows for the other protocol, and the body is lost.
"""

from typing import Protocol

import httptools


class Listener(Protocol):
    """What is told of a request, and has gathered its head when that is complete; names are in lower case."""

    url: bytes
    headers: list[tuple[bytes, bytes]]


class HttpParser:
    """Reads a head that makes an offer a second time without it, so that what follows is read as its body.

    The listener's `on_headers_complete` and `on_message_complete` have to return at once while `is_offer` is true:
    they are called again, after a second `on_message_begin`.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._renew()

    def _renew(self) -> None:
        self._parser = httptools.HttpRequestParser(self._listener)
        # else bytes after a request with Connection: close would be an error, while that one is still at work
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.get_method = self._parser.get_method
        self.get_http_version = self._parser.get_http_version
        self.should_keep_alive = self._parser.should_keep_alive
        self.is_offer = self._parser.should_upgrade
        """Whether the request offers another protocol, or asks for a tunnel (CONNECT)."""

    def should_upgrade(self) -> bool:
        """Never: that is how uvicorn asks."""
        return False

    def feed_data(self, data: bytes) -> None:
        """Parses bytes from the client, in pieces of any size.

        Raises:
            httptools.HttpParserError: they are not HTTP.
        """
        rest = memoryview(data)  # not copied for each of many requests in one piece
        while True:
            try:
                self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                if self.get_method() == b"CONNECT":
                    return  # no head without the offer is to be had
                rest = rest[offer.args[0] :]
                head = self._head()
                self._renew()  # the old one reads nothing more after Connection: close
                self._parser.feed_data(head)
            else:
                return

    def _head(self) -> bytes:
        """The head that was just read, without the offer."""
        first = b"%b %b HTTP/%b\r\n" % (self.get_method(), self._listener.url, self.get_http_version().encode())
        lines = [b"%b: %b\r\n" % header for header in self._listener.headers if header[0] != b"upgrade"]
        return first + b"".join(lines) + b"\r\n"
