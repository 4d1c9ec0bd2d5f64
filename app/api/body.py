"""Reads a request's body up to a limit. Starlette's own limit answers in plain text, not with our error body."""

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from app.errors import BodyTooLarge


async def read_body(receive: Receive, declared: bytes, limit: int) -> bytes:
    """The whole body.

    Args:
        receive: gives its parts.
        declared: its length as the header Content-Length has it; may be empty.
        limit: in bytes.

    Raises:
        BodyTooLarge: it is longer than `limit`; when its length is declared, before any of it is read.
        ClientDisconnect: the client went away before its end.
    """
    parts: list[bytes] = []
    size = int(declared) if declared.isdigit() else 0
    more = size <= limit
    if more:
        size = 0
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        parts.append(part)
        more = message.get("more_body", False) and size <= limit
    if size > limit:
        raise BodyTooLarge(f"the body is larger than the {limit} bytes that are accepted (MASKSEMBLES_MAX_BODY_BYTES)")
    return parts[0] if len(parts) == 1 else b"".join(parts)
