"""The page at / and its files: from this origin alone, small, and as they came from npm."""

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from tests.page_links import Links, directives
from tests.serving import ROOT, serving

WEB = ROOT / "app" / "web" / "page"
VENDOR = WEB / "vendor"
SUMS = {name: digest for digest, name in (line.split() for line in (VENDOR / "SHA256SUMS").read_text().splitlines())}
OWN = sorted(path for path in WEB.rglob("*.js") if VENDOR not in path.parents)
IMPORT = re.compile(r'^(?:import|export)\s[^"]*?from\s"([^"]+)"|^import "([^"]+)"', re.MULTILINE)
IMPORTS = json.loads(re.search(r'importmap">(.*?)</script>', (WEB / "index.html").read_text())[1])["imports"]
LARGEST = 150_000
"""Bytes of the whole page, compressed."""


def test_what_the_page_names_is_there_and_here(client: httpx.Client) -> None:
    response = client.get("/")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = Links(response.text)
    assert page.inline == ["importmap"]
    for link in page.found:
        assert urljoin("https://a.example/models/", link).startswith("https://a.example/models/")
        assert client.get(urljoin("/", link)).status_code == 200, link


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.relative_to(WEB).as_posix())
def test_what_a_module_imports_is_there(path: Path) -> None:
    for relative, bare in IMPORT.findall(path.read_text()):
        name = relative or bare
        found = WEB.parent / IMPORTS[name] if name in IMPORTS else path.parent / name
        assert found.is_file(), name
    # addresses come from the page's own: a service behind a prefix keeps it, and no other site is asked
    assert not re.search(r"""["'`](https?:)?//|["'`]/(page|predict|models|v2|metrics|health)""", path.read_text())


def test_a_browser_runs_and_loads_nothing_else(client: httpx.Client) -> None:
    response = client.get("/")
    allowed = directives(response)
    script = re.search(r'<script type="importmap">(.*?)</script>', response.text)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert allowed["script-src"] == ["'self'", f"'sha256-{digest}'"]
    assert {name: sources for name, sources in allowed.items() if name != "script-src"} == {
        "default-src": ["'none'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "blob:"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


def test_the_whole_page_is_small() -> None:
    files = [
        path
        for path in WEB.rglob("*")
        if path.is_file() and path.suffix in (".html", ".js", ".mjs", ".css", ".json", ".svg", ".png")
    ]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < LARGEST


def test_files_are_compressed_and_kept_while_they_are_the_same(client: httpx.Client) -> None:
    first = client.get("/page/main.js", headers={"Accept-Encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["cache-control"] == "no-cache"
    assert first.text == (WEB / "main.js").read_text()
    again = client.get("/page/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "name", ["", "x", "examples", "../docs.html", "..%2F..%2Fsettings.py", "%2e%2e/%2e%2e/main.py"]
)
def test_nothing_else_is_served(client: httpx.Client, name: str) -> None:
    response = client.get(f"/page/{name}")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_it_can_be_turned_off(repository: Path) -> None:
    with serving(repository, page=False) as client:
        assert client.get("/").status_code == 404
        assert client.get("/page/main.js").status_code == 404
        assert client.get("/docs").status_code == 200


def test_libraries_are_those_of_the_versions_in_the_lock() -> None:
    for name, digest in SUMS.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, f"{name}: make vendor"
    wanted = json.loads((VENDOR / "package.json").read_text())["dependencies"]
    locked = json.loads((VENDOR / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert {path.name.removeprefix("LICENSE.") for path in VENDOR.glob("LICENSE.*")} == wanted.keys()


def test_examples_name_files_that_are_there(client: httpx.Client) -> None:
    examples = json.loads((WEB / "examples" / "examples.json").read_text())
    pictures = [one for data in examples.values() for one in data.get("pictures", [])]
    assert len(pictures) > 20
    for picture in pictures:
        assert client.get(f"/{picture['file']}").headers["content-type"] == "image/png"
