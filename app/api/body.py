"""Reads a request's body up to a limit, and decompresses it."""

import asyncio
import zlib
from collections.abc import Mapping

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.api.accept import weights
from app.errors import BodyTooLarge, MalformedBody, RequestTimeout, UnsupportedMediaType

LARGE = 2**17
"""Bytes of text that take a good part of a millisecond to read or write ..."""
LARGE_BINARY = 2**21
"""... and of numbers as they are in memory."""

_LITTLE = 2**16
MOST_SECONDS = 60
"""For how long a body of more than 64 KiB may be on its way."""

_WINDOW = {b"gzip": 31, b"deflate": 15}  # deflate is zlib's format, as HTTP has it
_SETTING = "(MASKSEMBLES_MAX_BODY_BYTES)"


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The whole body, as it was before a Content-Encoding of gzip or deflate.

    Args:
        receive: gives its parts.
        limit: in bytes, as it comes and as it is when decompressed.

    Raises:
        BodyTooLarge: it is longer than `limit`; when its length is declared, before any of it is read.
        RequestTimeout: it is more than a little, and does not end within a minute.
        UnsupportedMediaType: it is compressed in another way.
        MalformedBody: it is not what its encoding says.
        ClientDisconnect: the client went away before its end.
    """
    declared = headers.get(b"content-length", b"")
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding and encoding != b"identity" and encoding not in _WINDOW:
        raise UnsupportedMediaType(f"expected Content-Encoding: gzip or deflate, got {encoding.decode('latin-1')}")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    if declared.isdigit() and int(declared) <= _LITTLE:  # holds no memory, however slowly it comes
        body = await _join(receive, limit)
    else:
        try:
            async with asyncio.timeout(MOST_SECONDS):
                body = await _join(receive, limit)
        except TimeoutError:
            raise RequestTimeout(f"the body did not come within {MOST_SECONDS} seconds") from None
    if encoding in _WINDOW:
        return await asyncio.to_thread(_decompress, body, encoding, limit)
    return body


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the {limit} bytes that are accepted {_SETTING}")


async def _join(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_WINDOW[encoding])
    try:
        found = stream.decompress(body, limit + 1)
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
    """A body in an encoding that `accepted_encoding` gave."""
    stream = zlib.compressobj(1, wbits=_WINDOW[encoding])
    return stream.compress(body) + stream.flush()


def accepted_encoding(header: bytes) -> bytes | None:
    """The encoding, gzip or deflate, that a header Accept-Encoding prefers; None for none."""
    wanted = weights(header)
    known = {name: wanted.get(name.decode(), wanted.get("*", 0.0)) for name in _WINDOW}
    best = max(known, key=lambda name: known[name])
    return best if known[best] > 0 and known[best] >= wanted.get("identity", 0.0) else None
