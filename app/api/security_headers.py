"""Headers that every answer carries, so that a browser makes nothing of it that it is not."""

PAGES = "/docs"
"""The path of the only page; files that it loads lie below it."""

_SHARED = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
_ANSWER = [*_SHARED, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")]
_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # Swagger UI's style sheet has its icons inside
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE = [*_SHARED, (b"content-security-policy", _PAGE_POLICY.encode()), (b"referrer-policy", b"no-referrer")]


def security_headers(path: str) -> list[tuple[bytes, bytes]]:
    """Those of an answer to a request for a path."""
    return _PAGE if path == PAGES else _ANSWER
