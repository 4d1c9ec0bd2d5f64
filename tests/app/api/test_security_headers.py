"""Every answer says what a browser may do with it: by path, since only two are pages."""

import pytest

from app.api.security_headers import DOCS, PAGE, security_headers

NOTHING = "default-src 'none'; frame-ancestors 'none'"


def headers(path: str) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in security_headers(path)}


@pytest.mark.parametrize("path", ["/predict", "/models", "/docs/docs.js", "/docs/", "/page", "/metrics", "//"])
def test_a_browser_may_do_nothing_with_an_answer(path: str) -> None:
    assert headers(path)["content-security-policy"] == NOTHING
    assert headers(path)["cache-control"] == "no-store"


def test_files_of_the_page_may_be_kept_but_must_be_asked_for() -> None:
    found = headers("/page/main.js")
    assert found["cache-control"] == "no-cache"
    assert found["content-security-policy"] == NOTHING


@pytest.mark.parametrize("path", [PAGE, DOCS])
def test_a_page_loads_from_this_origin_and_sends_no_forms(path: str) -> None:
    policy = headers(path)["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "form-action 'none'" in policy
    assert "unsafe" not in policy
    assert headers(path)["referrer-policy"] == "no-referrer"
