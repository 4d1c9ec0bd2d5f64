"""A client generated from the OpenAPI document by openapi-python-client, used as an application would use it."""

import hashlib
import json
from pathlib import Path

import httpx
import pytest

from tests.clients.command import run
from tests.markdown import blocks
from tests.pictures import DATA, REQUEST, readme_answer, same_to_three_digits
from tests.serving import ROOT, SHIPPED, as_process

TOOLS = ROOT / ".venv" / "clients" / "bin"
SOURCES = Path(__file__).parent / "python"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the generated package and the applications."""
    folder = tmp_path_factory.mktemp("python")
    run(
        TOOLS / "openapi-python-client", "generate", "--path", ROOT / "app" / "openapi.json",
        "--config", SOURCES / "generator.yml", "--output-path", "masksembles_service_client", "--meta", "none",
        "--fail-on-warning", cwd=folder,
    )  # fmt: skip
    for application in SOURCES.glob("*.py"):
        (folder / application.name).write_bytes(application.read_bytes())
    return folder


def test_a_generated_client_posts_and_reads(place: Path) -> None:
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        address = str(client.base_url)
        printed = run(TOOLS / "python", "application.py", address, REQUEST, DATA / "coat.png", cwd=place)
        assert same_to_three_digits(json.loads(printed), readme_answer())
        assert client.get("/health/ready").status_code == httpx.codes.OK


def test_it_is_let_in_with_its_key_alone(place: Path) -> None:
    key = "mine and secret"
    keys = f"ci:predict:{hashlib.sha256(key.encode()).hexdigest()}"
    with as_process(ROOT / "models" / "repository", MASKSEMBLES_KEYS=keys, **SHIPPED) as (client, _):
        printed = run(TOOLS / "python", "application_with_key.py", str(client.base_url), REQUEST, key, cwd=place)
    assert same_to_three_digits(json.loads(printed), readme_answer())


def test_the_documented_client_runs_as_printed(place: Path) -> None:
    (block,) = (block for block in blocks(ROOT / "docs" / "clients.md", "python") if block.info == "client=python")
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        text = block.text.replace("http://127.0.0.1:8000", str(client.base_url))
        (place / "documented.py").write_text(f"rows = [[[[0.0] * 8] * 8]]\n{text}")
        label, ignorance = run(TOOLS / "python", "documented.py", cwd=place).split()
    assert label in map(str, range(10))
    assert float(ignorance) > 0


def test_the_documented_feedback_runs_as_printed(place: Path) -> None:
    (block,) = (block for block in blocks(ROOT / "docs" / "clients.md", "python") if block.info == "client=feedback")
    secret = {"MASKSEMBLES_FEEDBACK_SECRET": "a secret of 32 characters or more"}
    with as_process(ROOT / "models" / "repository", **SHIPPED, **secret) as (client, _):
        text = block.text.replace("http://127.0.0.1:8000", str(client.base_url))
        given = 'rows, truths = [[[[0.0] * 8] * 8]] * 2, [1, "2"]\n'
        (place / "feedback.py").write_text(given + text)
        counted, drift, *promises = run(TOOLS / "python", "feedback.py", cwd=place).splitlines()
    assert (counted, drift) == ("2 0", "3 drift: False")
    assert promises
    assert all(line.endswith("of 2") for line in promises if line.startswith("prediction set"))
