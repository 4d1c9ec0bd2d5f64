"""Headers of every response that keep a browser from treating it as something it is not."""

PAGES = "/docs"
"""Path of the only page; the files that it loads lie below it."""

# answers hold what clients sent: no browser may take one for a page, and no cache keep it
_SHARED = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
_ANSWER = [*_SHARED, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")]
_PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",  # icons inside Swagger UI's style sheet; pictures that the service answers with
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE = [*_SHARED, (b"content-security-policy", _PAGE_POLICY.encode()), (b"referrer-policy", b"no-referrer")]


def security_headers(path: str) -> list[tuple[bytes, bytes]]:
    """The security headers of a response, by path."""
    return _PAGE if path == PAGES else _ANSWER
