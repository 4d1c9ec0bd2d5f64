"""Every operation has an example of every content type, in and out, and the shipped models answer it.

An example of a body is meant with the parameters' examples of its name, and is answered in the kind of answer that has
an example of its name. One that is a file leads to it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.api.examples import REQUEST
from app.api.examples.files import FILES, FOLDER
from tests.pictures import DATA
from tests.serving import ROOT, SHIPPED, as_process

DOCUMENT: dict[str, Any] = json.loads((ROOT / "app" / "openapi.json").read_text())
UNTRIED = "send_feedback"
"""Only the service that signed a receipt takes it, and not for ever; tests/app/api/feedback has real ones."""
DIGIT = np.array(REQUEST["inputs"], np.float32)


class Example(NamedTuple):
    """An operation with one example of its body, or without any."""

    method: str
    path: str
    operation: dict[str, Any]
    content_type: str = ""
    name: str = ""
    body: dict[str, Any] | None = None
    first: bool = True
    """Of its operation."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.operation["operationId"], self.content_type, self.name)))


def named(content: dict[str, Any]) -> dict[str, Any]:
    """The examples of a media type or a parameter, by name."""
    return {"": {"value": content["example"]}} if "example" in content else content.get("examples", {})


def examples() -> Iterator[Example]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            if operation["operationId"] == UNTRIED:
                continue
            content = operation.get("requestBody", {}).get("content", {})
            found = [(kind, name, body) for kind, of_kind in content.items() for name, body in named(of_kind).items()]
            for at, (kind, name, body) in enumerate(found or [("", "", None)]):
                yield Example(method, path, operation, kind, name, body, at == 0)


def kinds(example: Example) -> Iterator[str]:
    """The content types of the answers that are shown for an example."""
    for kind, content in example.operation["responses"]["200"].get("content", {}).items():
        if example.name in named(content) or ("example" in content and example.first):
            yield kind


TRIALS = [(example, kind) for example in examples() for kind in ("*/*", *kinds(example))]
TRIALS.sort(key=lambda trial: "unload" in trial[0].path)  # other operations need what it takes away


@pytest.fixture(scope="module")
def service() -> Iterator[httpx.Client]:
    settings = {**SHIPPED, "MASKSEMBLES_ENABLE_ADMIN": "true", "MASKSEMBLES_QUEUE_TIMEOUT_MS": "60000"}
    with as_process(ROOT / "models" / "repository", **settings) as (client, _):
        yield client


def file(service: httpx.Client, link: str) -> bytes:
    response = service.get(f"/{link}")
    assert response.status_code == 200, link
    return response.content


def body(service: httpx.Client, example: Example) -> dict[str, Any]:
    """What httpx is to send."""
    if example.body is None:
        return {}
    if "value" not in example.body:
        (link,) = re.findall(r"\((.*)\)", example.body["description"])
        return {"content": file(service, link), "headers": {"Content-Type": example.content_type}}
    value = example.body["value"]
    if example.content_type == "application/json":
        return {"json": value}
    files = [("inputs", (link, file(service, link))) for link in value["inputs"]]
    return {"files": files, "data": {name: text for name, text in value.items() if name != "inputs"}}


def send(service: httpx.Client, example: Example, accept: str = "*/*") -> httpx.Response:
    found: dict[str, dict[str, str]] = {"path": {}, "query": {}, "header": {"Accept": accept}}
    for parameter in example.operation.get("parameters", []):
        choices = named(parameter)
        name = next(iter(choices)) if parameter["required"] else example.name
        if "value" in choices.get(name, {}):
            found[parameter["in"]][parameter["name"]] = str(choices[name]["value"])
    request = body(service, example)
    headers = {**request.pop("headers", {}), **found["header"]}
    path = example.path.format(**found["path"])
    return service.request(example.method, path, params=found["query"], headers=headers, **request)


@pytest.mark.parametrize(("example", "accept"), TRIALS, ids=str)
def test_the_shipped_models_answer(service: httpx.Client, example: Example, accept: str) -> None:
    response = send(service, example, accept)
    assert response.status_code == 200, response.text
    assert accept == "*/*" or response.headers["content-type"].partition(";")[0] == accept


def test_every_content_type_has_an_example_that_is_tried() -> None:
    tried = {(example.operation["operationId"], example.content_type) for example, _ in TRIALS}
    answered = {(example.operation["operationId"], kind) for example, kind in TRIALS}
    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            name = operation["operationId"]
            if name == UNTRIED:
                continue
            assert {(name, kind) for kind in operation.get("requestBody", {}).get("content", [""])} <= tried
            assert {(name, kind) for kind in operation["responses"]["200"].get("content", {})} <= answered
            for parameter in operation.get("parameters", []):
                assert not parameter["required"] or "value" in next(iter(named(parameter).values())), name


def picture(name: str) -> NDArray[np.int64]:
    with Image.open(FOLDER / name) as opened:
        assert FILES[name] == Image.MIME[opened.format]
        return np.asarray(opened.convert("L"), np.int64)


def test_the_files_hold_what_the_document_shows() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*FILES, "README.md", "LICENSE-fashion-mnist"}
    for name in ("coat.png", "scene.png", "LICENSE-fashion-mnist"):
        assert (FOLDER / name).read_bytes() == (DATA / name).read_bytes()
    assert (picture("coat.webp") == picture("coat.png")).all()
    assert np.abs(picture("coat.jpg") - picture("coat.png")).max() < 16  # JPEG loses something
    assert (np.load(FOLDER / "digit.npy") == DIGIT).all()
    with np.load(FOLDER / "digit.npz") as archive:
        assert list(archive) == ["input"]
        assert (archive["input"] == DIGIT).all()
    plain = (FOLDER / "digit.bin").read_bytes()
    assert plain == DIGIT.astype("<f4").tobytes()
    assert (FOLDER / "digit-with-json.bin").read_bytes()[-len(plain) :] == plain


def test_a_description_leads_to_every_file() -> None:
    said = " ".join(
        operation.get("description", "") for one in DOCUMENT["paths"].values() for operation in one.values()
    )
    assert set(re.findall(r"\]\(docs/examples/([^)]+)\)", said)) == FILES.keys()
