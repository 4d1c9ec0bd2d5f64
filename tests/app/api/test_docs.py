"""The page at /docs shows the OpenAPI document, and neither it nor a browser that obeys it asks another origin."""

import hashlib
import json
import re
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from app.api import docs
from app.api.examples.files import FILES, FOLDER
from tests.page_links import Links, directives
from tests.serving import ROOT

WEB = ROOT / "app" / "web"
SWAGGER = WEB / "swagger"
SUMS = {name: digest for digest, name in (line.split() for line in (SWAGGER / "SHA256SUMS").read_text().splitlines())}


def test_what_the_page_names_is_there_and_here(client: httpx.Client) -> None:
    response = client.get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Links(response.text)
    assert page.inline == []
    assert {link.removeprefix("docs/") for link in page.found} == {*docs._FILES, "openapi.json"}
    for link in page.found:
        assert not urlsplit(link).netloc
        assert client.get(urljoin("/docs", link)).status_code == 200


def test_behind_a_prefix_the_links_keep_it(client: httpx.Client) -> None:
    for link in Links(client.get("/docs").text).found:
        assert urljoin("https://a.example/models/docs", link).startswith("https://a.example/models/")


def test_a_browser_may_load_from_this_origin_only(client: httpx.Client) -> None:
    allowed = directives(client.get("/docs"))
    assert allowed["default-src"] == ["'none'"]
    assert {source for sources in allowed.values() for source in sources} == {"'none'", "'self'", "data:", "blob:"}
    assert [name for name, sources in allowed.items() if {"data:", "blob:"} & {*sources}] == ["img-src"]


def test_a_browser_is_told_the_rest_as_with_every_answer(client: httpx.Client) -> None:
    headers = client.get("/docs").headers
    assert headers["referrer-policy"] == "no-referrer"
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("cache-control") == ["no-store"]
    assert len(headers.get_list("x-request-id")) == 1


def test_the_script_names_no_other_site_and_turns_the_validator_off() -> None:
    code = (WEB / "docs.js").read_text()
    assert "//" not in re.sub(r"^//.*$", "", code, flags=re.MULTILINE)
    assert 'url: "openapi.json"' in code
    assert "validatorUrl: null" in code


@pytest.mark.parametrize("name", docs._FILES)
def test_a_file_comes_as_what_it_is(client: httpx.Client, name: str) -> None:
    path, media_type = docs._FILES[name]
    response = client.get(f"/docs/{name}")
    assert response.headers["content-type"].partition(";")[0] == media_type
    assert response.content == path.read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_an_example_comes_as_a_file_to_keep(client: httpx.Client, name: str) -> None:
    response = client.get(f"/docs/examples/{name}")
    assert response.headers["content-type"] == FILES[name]
    assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert response.content == (FOLDER / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "", "x", "LICENSE", "package.json", "..%2Fdocs.py", "../docs.html", "swagger/LICENSE", "examples",
        "examples/", "examples/README.md", "examples/..%2Fdocs.js",
    ],
)  # fmt: skip
def test_no_other_file_is_served(client: httpx.Client, name: str) -> None:
    response = client.get(f"/docs/{name}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_swagger_s_files_are_those_of_the_version_in_the_lock() -> None:
    for name, digest in SUMS.items():
        assert hashlib.sha256((SWAGGER / name).read_bytes()).hexdigest() == digest, name
    assert {path.name for path, _ in docs._FILES.values() if path.parent == SWAGGER} <= SUMS.keys()
    wanted = json.loads((SWAGGER / "package.json").read_text())["dependencies"]["swagger-ui-dist"]
    locked = json.loads((SWAGGER / "package-lock.json").read_text())["packages"]["node_modules/swagger-ui-dist"]
    assert locked["version"] == wanted
    bundle = (SWAGGER / "swagger-ui-bundle.js").read_text()
    assert f'PACKAGE_VERSION:"{wanted}"' in bundle, "stale: make vendor"
