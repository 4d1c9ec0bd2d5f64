"""Reads a request's body up to a limit, decompresses it, and calls what would stall the event loop beside it."""

import asyncio
import zlib
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.api.negotiation import weights
from app.errors import BodyTooLarge, BodyTooSlow, MalformedBody, WrongContentType

_P = ParamSpec("_P")
_T = TypeVar("_T")

LARGE = 2**17
"""Bytes of text that take a good part of a millisecond to read or write ..."""
LARGE_BINARY = 2**21
"""... and of numbers as they are in memory."""

MOST_SECONDS = 60
"""For how long a body may be on its way."""

_WINDOW = {b"gzip": 31, b"deflate": 15}  # deflate is zlib's format, as HTTP has it
_SETTING = "(MASKSEMBLES_MAX_BODY_BYTES)"


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The whole body, as it was before a Content-Encoding of gzip or deflate.

    Args:
        receive: gives its parts.
        limit: in bytes, as it comes and as it is when decompressed.

    Raises:
        BodyTooLarge: it is longer than `limit`; when its length is declared, before any of it is read.
        BodyTooSlow: it does not end within a minute.
        WrongContentType: it is compressed in another way.
        MalformedBody: it is not what its encoding says.
        ClientDisconnect: the client went away before its end.
    """
    declared = headers.get(b"content-length", b"")
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding not in (b"", b"identity", *_WINDOW):
        raise WrongContentType(f"expected Content-Encoding: gzip or deflate, got {encoding.decode('latin-1')}")
    too_large = BodyTooLarge(f"the body is larger than the {limit} bytes that are accepted {_SETTING}")
    if declared.isdigit() and int(declared) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    more = True
    try:
        async with asyncio.timeout(MOST_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                part = message.get("body", b"")
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
                more = message.get("more_body", False)
    except TimeoutError:
        raise BodyTooSlow(f"the body did not come within {MOST_SECONDS} seconds") from None
    body = parts[0] if len(parts) == 1 else b"".join(parts)
    if encoding in _WINDOW:
        return await asyncio.to_thread(_decompress, body, encoding, limit)
    return body


async def aside(heavy: bool, function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Calls a function: here, or in a thread where it takes so long that others would wait for it."""
    if not heavy:
        return function(*arguments, **named)
    return await asyncio.to_thread(function, *arguments, **named)


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
