"""Reads a request's body up to a limit, and decompresses it."""

import asyncio
import zlib
from collections.abc import Mapping
from io import BytesIO

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.api.accept import weights
from app.api.memory import SMALL, Held
from app.errors import BodyTooLarge, MalformedBody, RequestTimeout, UnsupportedMediaType

MOST_NUMBERS = 2**18
"""Of maps in JSON: they take about 5 MB, which a client reads in a tenth of a second."""
LARGE = 2**17
"""Bytes of text that take a good part of a millisecond to read or write; more would stall the event loop."""
LARGE_BINARY = 2**21
"""The same for numbers as they lie in memory."""

MOST_SECONDS = 60
"""How many seconds a body of more than 64 KiB may take to arrive."""

_WINDOW = {b"gzip": 31, b"deflate": 15}  # zlib's wbits; HTTP's deflate is the zlib format, not a raw stream
_SETTING = "(MASKSEMBLES_MAX_BODY_BYTES)"


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int, memory: Held) -> bytes:
    """Reads the whole body and decompresses it if its Content-Encoding is gzip or deflate.

    Args:
        receive: ASGI's callable for the parts of the body.
        limit: most bytes, as received and as decompressed.
        memory: what the request holds; the body is added before it is read, or as it comes if its length is undeclared.

    Raises:
        BodyTooLarge: it is longer than `limit`; if its length is declared, raised before any of it is read.
        RequestTimeout: it is larger than 64 KiB, or of undeclared length, and does not end within a minute.
        UnsupportedMediaType: it has another encoding.
        MalformedBody: it does not match its encoding.
        MemoryFull: there is no memory for it; if its length is declared, raised before any of it is kept.
        ClientDisconnect: the client disconnected before the end.
    """
    declared = headers.get(b"content-length", b"")
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding and encoding != b"identity" and encoding not in _WINDOW:
        raise UnsupportedMediaType(f"expected Content-Encoding: gzip or deflate, got {encoding.decode('latin-1')}")
    length = int(declared) if declared.isdigit() else None
    if length is not None and length > limit:
        raise _too_large(limit)
    try:
        if length is not None:
            memory.resize(length)
        if length is not None and length <= SMALL:  # hardly any memory: the connection's limit will do
            body = await _join(receive, limit, length, None)
        else:
            async with asyncio.timeout(MOST_SECONDS):
                body = await _join(receive, limit, length or 0, memory if length is None else None)
    except TimeoutError:
        raise RequestTimeout(f"the body did not come within {MOST_SECONDS} seconds") from None
    if encoding in _WINDOW:
        body = await asyncio.to_thread(_decompress, body, encoding, limit)  # a small one may unpack to the whole limit
        memory.resize(len(body))
    return body


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the {limit} bytes that are accepted {_SETTING}")


async def _join(receive: Receive, limit: int, declared: int, memory: Held | None) -> bytes:
    """Reads the body, and adds its parts to what the request holds unless that is None.

    Args:
        declared: the length that the body is said to have; 0 if it is not said.
    """
    stream: BytesIO | None = None
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:  # a chunked body declares no length
            raise _too_large(limit)
        if memory is not None:
            memory.resize(size)
        more = message.get("more_body", False)
        if stream is None and not more:  # nearly every body is one part, and not copied
            return bytes(part)
        if stream is None:
            # one block, of the right size from the start: a list of parts takes many times as much if a client sends a
            # few bytes at a time. Nobody else holds its zeros, so they are overwritten, and in the end not copied
            stream = BytesIO(bytes(declared))
        stream.write(part)
        del message, part  # a copy of up to 256 KiB, and the next one may take a minute
        if not more:
            stream.truncate()  # if less came than was declared
            return stream.getvalue()


def _decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_WINDOW[encoding])
    try:
        found = stream.decompress(body, limit + 1)  # stops there: a zip bomb is never unpacked
    except zlib.error as error:
        raise MalformedBody(
            f"the body is not in the format of its Content-Encoding {encoding.decode()}: {error}"
        ) from None
    if len(found) > limit:
        raise BodyTooLarge(f"decompressed, the body is larger than the {limit} bytes that are accepted {_SETTING}")
    if not stream.eof or stream.unused_data:
        raise MalformedBody(f"the body is cut off, or goes on after the end of its {encoding.decode()}")
    return found


def compress(body: bytes, encoding: bytes) -> bytes:
    """Compresses a body in an encoding that `accepted_encoding` returned."""
    stream = zlib.compressobj(1, wbits=_WINDOW[encoding])
    return stream.compress(body) + stream.flush()


def accepted_encoding(header: bytes) -> bytes | None:
    """The encoding, gzip or deflate, that an Accept-Encoding header prefers; None for no compression."""
    wanted = weights(header)
    known = {name: wanted.get(name.decode(), wanted.get("*", 0.0)) for name in _WINDOW}
    best = max(known, key=lambda name: known[name])
    return best if known[best] > 0 and known[best] >= wanted.get("identity", 0.0) else None
