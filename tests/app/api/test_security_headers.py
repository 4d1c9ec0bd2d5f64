import pytest

from app.api.security_headers import PAGES, security_headers


@pytest.mark.parametrize("path", ["/predict", "/", "", "/v2", f"{PAGES}/docs.js", f"{PAGES}x", PAGES])
def test_no_answer_is_sniffed_stored_or_framed(path: str) -> None:
    found = dict(security_headers(path))
    assert found[b"x-content-type-options"] == b"nosniff"
    assert found[b"cache-control"] == b"no-store"
    assert {b"default-src 'none'", b"frame-ancestors 'none'"} <= set(found[b"content-security-policy"].split(b"; "))


@pytest.mark.parametrize("path", ["/predict", f"{PAGES}/docs.js", f"{PAGES}x"])
def test_what_is_no_page_may_load_nothing(path: str) -> None:
    assert b"-src 'self'" not in dict(security_headers(path))[b"content-security-policy"]


def test_the_page_may_load_from_its_own_origin_alone() -> None:
    policy = dict(security_headers(PAGES))[b"content-security-policy"].decode()
    sources = {source for directive in policy.split("; ") for source in directive.split()[1:]}
    assert sources == {"'none'", "'self'", "data:", "blob:"}
    assert "script-src 'self'" in policy.split("; ")
