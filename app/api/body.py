"""Reads a request's body up to a limit. Starlette's own limit answers in plain text, not with our error body."""

from starlette.requests import Request

from app.errors import BodyTooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: it is longer than `limit` bytes; when its length is declared, before any of it is read.
    """
    declared = request.headers.get("content-length", "")
    parts: list[bytes] = []
    size = int(declared) if declared.isdecimal() else 0
    if size <= limit:
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                break
            parts.append(part)
    if size > limit:
        raise BodyTooLarge(f"the body is larger than the {limit} bytes that are accepted (MASKSEMBLES_MAX_BODY_BYTES)")
    return b"".join(parts)
