"""README and docs/: every block runs, links lead somewhere, and what is named is there. See tests.reader for how."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from app.settings import Settings
from docs import generate
from models.__main__ import _parser
from tests.markdown import PAGES, README, ROOT, anchors, blocks, links, spans
from tests.pictures import pictures, readme_answer
from tests.reader import Reader, commands
from tests.serving import SHIPPED, as_process, free_port

DOCS = ROOT / "docs"
RESULTS = ROOT / "models" / "benchmark" / "results"


def _for_clients() -> dict[str, Any]:
    return {"rows": np.zeros((3, 1, 8, 8)).tolist(), "images": pictures().inputs[:2]}


def _for_feedback() -> dict[str, Any]:
    split = pictures()
    return {"images": split.inputs[:2].tolist(), "what_they_were": split.labels[:2].tolist()}


def _for_networks() -> dict[str, Any]:
    """What somebody has who has trained networks of their own."""
    generator = np.random.default_rng(0)
    inputs = torch.from_numpy(generator.random((120, 10), np.float32))
    return {
        "x": torch.rand(6, 1, 8, 8),
        "example": torch.rand(2, 1, 8, 8),
        "inputs": inputs,
        "values": inputs[:, :1] + torch.from_numpy(generator.random((120, 1), np.float32)),
    }


NAMES: dict[Path, Callable[[], dict[str, Any]]] = {
    DOCS / "clients.md": _for_clients,
    DOCS / "feedback.md": _for_feedback,
    DOCS / "serve-your-own.md": _for_networks,
}
"""What the Python of a page takes for granted."""
FROM_NOTHING = {DOCS / "serve-your-own.md"}
"""Pages whose commands begin in a clone and leave it."""
WITH_BLOCKS = [
    pytest.param(page, marks=pytest.mark.slow) if page in FROM_NOTHING else page for page in PAGES if blocks(page)
]


Service = tuple[httpx.Client, str]
"""A client, and the address for gRPC."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    port = free_port()
    settings = {**SHIPPED, "MASKSEMBLES_ENABLE_ADMIN": "true", "MASKSEMBLES_GRPC_PORT": str(port)}
    settings["MASKSEMBLES_FEEDBACK_SECRET"] = "a secret of 32 characters or more"
    with as_process(ROOT / "models" / "repository", **settings) as (client, _):
        yield client, f"127.0.0.1:{port}"


@pytest.fixture(autouse=True)
def _seeded_on_one_thread() -> Iterator[None]:
    """Several threads of torch on cores that other tests are at work on wait for each other many times as long."""
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=named)
def test_every_block_runs(page: Path, service: Service, tmp_path: Path) -> None:
    folder = ROOT
    if page in FROM_NOTHING:
        folder = tmp_path / "clone"
        folder.mkdir()
    reader = Reader(folder, service[0], NAMES.get(page, dict)(), service[1])
    try:
        for block in blocks(page):
            try:
                reader.run(block)
            except BaseException as error:
                error.add_note(f"in {block}")
                raise
    finally:
        reader.close()


def test_the_client_by_hand_waits_while_the_service_is_full() -> None:
    (block,) = (block for block in blocks(DOCS / "clients.md", "python") if "Retry-After" in block.text)
    place: dict[str, Any] = {"rows": []}
    exec(compile(block.text, str(block), "exec"), place)
    answers = iter([503, 429, 504, 200])

    def full_at_first(request: httpx.Request) -> httpx.Response:
        return httpx.Response(next(answers), headers={"Retry-After": "0"}, json={"predictions": []})

    with httpx.Client(base_url="http://service", transport=httpx.MockTransport(full_at_first)) as client:
        assert place["predict"](client, {"model": "digits"}) == {"predictions": []}
    assert next(answers, None) is None


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_what_is_named_is_there(page: Path) -> None:
    text = page.read_text()
    settings = {f"MASKSEMBLES_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"MASKSEMBLES_[A-Z0-9_]+", text)) <= settings
    metrics = re.findall(r"`(masksembles_\w+)`", generate.metrics())
    named = {re.sub("_sum$", "", name) for name in re.findall(r"\bmasksembles_\w+", text)}
    assert named - {"masksembles_service_client"} <= {*metrics}
    makefile = (ROOT / "Makefile").read_text()
    for span in spans(page):
        if re.fullmatch(r"(app|models|tests|docs|docker)/[\w./-]*", span):
            assert (ROOT / span).exists() or span == "models/checkpoints", span
        elif span.startswith("make "):
            (words,) = commands(span)
            for word in words[1:]:
                assert "=" in word or re.search(rf"^{re.escape(word)}:", makefile, re.MULTILINE), span
        elif span.startswith("python -m models "):
            (words,) = commands(span)
            if "--help" not in words:
                _parser().parse_args(words[3:])


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_not_stale(name: str) -> None:
    assert (DOCS / name).read_text() == generate.PAGES[name](), "run python -m docs.generate"


def test_every_code_of_the_openapi_document_is_explained() -> None:
    document = (ROOT / "app" / "openapi.json").read_text()
    codes = set(re.findall(r'"code": "([a-z_]+)"', document))
    assert codes
    assert codes <= set(re.findall(r"^\| \d+ \| `(\w+)`", (DOCS / "errors.md").read_text(), re.MULTILINE))


def test_results_are_those_that_were_measured() -> None:
    text = (DOCS / "results.md").read_text()
    pages = sorted(RESULTS.glob("*/*.md"))
    assert len(pages) == 8
    for page in pages:
        between = text.partition(f"<!-- {page.stem} -->\n")[2].partition(f"<!-- /{page.stem} -->")[0]
        assert between.strip() == page.read_text().strip(), page.stem


def test_the_picture_shows_the_answer() -> None:
    (answer,) = readme_answer()["predictions"]
    drawn = (DOCS / "images" / "one-row.svg").read_text()
    assert f"{answer['label']} {answer['confidence']:.2f}<" in drawn
    assert f"entropy {answer['entropy']:.2f}<" in drawn
    assert f"mutual information {answer['mutual_information']:.2f}<" in drawn
    assert f"above {answer['decision']['threshold']:.2f}<" in drawn
    assert f">{answer['decision']['action']}<" in drawn
    for submodel in answer["submodels"]:
        assert f"{submodel['label']} {max(submodel['probabilities']):.2f}<" in drawn


def test_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 180


def test_renamed_settings_are_there_under_their_new_names_only() -> None:
    table = (ROOT / "CHANGELOG.md").read_text().partition("prefix `MASKSEMBLES_`:")[2].partition("\n\nError codes")[0]
    rows = re.findall(r"^\| `(\w+)[^|]*\| `(\w+)[^|]*\|$", table, re.MULTILINE)
    assert len(rows) == 9
    fields = {name.upper() for name in Settings.model_fields}
    for old, new in rows:
        assert new in fields
        assert old == new or old not in fields
