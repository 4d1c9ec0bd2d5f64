"""The page of every shipped model, and of models that mean harm."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.contract.repository import list_versions
from models import artefact
from models.__main__ import main
from models.report.page import page
from tests import artefacts
from tests.models.evaluation.two_heads import two_heads
from tests.serving import ROOT

SHIPPED = ROOT / "models" / "repository"


class Reader(HTMLParser):
    """Collects what is in a page, and checks that every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", sorted(path.name for path in SHIPPED.iterdir() if path.is_dir()))
def test_a_page_stands_for_itself(name: str) -> None:
    version = list_versions(SHIPPED, name)[0]
    text = page(SHIPPED, name, version)
    found = Reader(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    assert not {"src", "href"} & {attribute for attribute, _ in found.attributes}
    assert "url(" not in text
    assert "@import" not in text
    assert found.tags.count("svg") >= 2
    contract = artefact.read(SHIPPED, name, version)[1]
    for told in (
        contract.method,
        contract.origin.created,
        *contract.head.labels,
        "Policy and guarantees",
        "dense pass",
    ):
        assert told in found.text
    if contract.masks:
        assert contract.masks.digest in found.text


def test_what_a_file_says_is_text(tmp_path: Path) -> None:
    model, contract = two_heads()
    harm = "<script>alert(1)</script>{{ 7 * 7 }}"
    action, steering = contract.heads
    contract = contract.model_copy(
        update={
            "heads": (action.model_copy(update={"labels": (harm, "b", "c")}), steering),
            "inputs": tuple(given.model_copy(update={"unit": harm}) for given in contract.inputs),
            "origin": contract.origin.model_copy(update={"recipe": {harm: {"a": harm}}, "software": {harm: harm}}),
        }
    )
    artefacts.write(tmp_path, "both", model, contract)
    text = page(tmp_path, "both", 1)
    found = Reader(text)
    assert "script" not in found.tags
    assert found.text.count(harm) >= 6
    assert "It was not evaluated" in found.text
    assert "Not calibrated" in found.text


def test_the_command_writes_it(
    tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "tiny:1", "--repository", str(tiny_repository)]) == 0
    assert capsys.readouterr().out == "wrote: tiny-1.html\n"
    assert re.search("<h1>tiny:1</h1>", (tmp_path / "tiny-1.html").read_text())
    assert main(["report", "tiny:7", "--repository", str(tiny_repository)]) == 1
    assert "no such file" in capsys.readouterr().err
