"""Headers of every response that keep a browser from treating it as something it is not."""

import base64
import hashlib
import re
from pathlib import Path

PAGE, DOCS = "/", "/docs"
"""Paths of the only two pages."""
PAGE_FILES = "/page"
"""The files that the page at / loads lie below it; those of /docs below /docs."""
PAGE_FILE = Path(__file__).parents[1] / "web" / "page" / "index.html"

Headers = list[tuple[bytes, bytes]]

_NOSNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")
_REVALIDATE = (b"cache-control", b"no-cache")


def _policy(**sources: str) -> tuple[bytes, bytes]:
    """A content security policy: nothing is allowed but what a page needs."""
    allowed = {"default-src": "'none'", **{f"{name}-src": value for name, value in sources.items()}}
    never = {"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"}
    return b"content-security-policy", "; ".join(
        f"{name} {value}" for name, value in {**allowed, **never}.items()
    ).encode()


def _import_map() -> str:
    """The hash of the page's import map, the one script that no browser loads from a file."""
    found = re.search(r'<script type="importmap">(.*?)</script>', PAGE_FILE.read_text(), re.DOTALL)
    if found is None:
        raise ValueError(f"{PAGE_FILE} has no import map")
    return f"'sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"


# answers hold what clients sent: no browser may take one for a page, and no cache keep it
_ANSWER = [_NOSNIFF, _NO_STORE, (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")]
_NO_REFERRER = (b"referrer-policy", b"no-referrer")
_OF_PAGES: dict[str, Headers] = {
    PAGE: [
        *(_NOSNIFF, _NO_STORE, _NO_REFERRER),
        # pictures that were drawn or dropped, and maps that came back, are blobs
        _policy(script=f"'self' {_import_map()}", style="'self'", img="'self' blob:", connect="'self'"),
    ],
    DOCS: [
        *(_NOSNIFF, _NO_STORE, _NO_REFERRER),
        # icons inside Swagger UI's style sheet are data, pictures that the service answers with are blobs
        _policy(script="'self'", style="'self'", img="'self' data: blob:", connect="'self'"),
    ],
}
_FILE = [_NOSNIFF, _REVALIDATE, *_ANSWER[2:]]


def security_headers(path: str) -> Headers:
    """The security headers of a response, by path."""
    if path.startswith(f"{PAGE_FILES}/"):
        return _FILE  # the same for everybody
    return _OF_PAGES.get(path, _ANSWER)
