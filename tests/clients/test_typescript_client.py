"""A client of types from the OpenAPI document by openapi-typescript, compiled strictly, run by Node."""

import json
import shutil
from pathlib import Path

import pytest

from tests.clients.command import run
from tests.markdown import blocks
from tests.pictures import REQUEST, readme_answer, same_to_three_digits
from tests.serving import ROOT, SHIPPED, as_process

FOLDER = Path(__file__).parent / "typescript"


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"there is no {name}: install Node.js 20 or newer and npm"
    return found


@pytest.fixture(scope="module", autouse=True)
def _generated() -> None:
    shutil.rmtree(FOLDER / "build", ignore_errors=True)
    run(program("npm"), "run", "generate", cwd=FOLDER)


def test_an_application_compiles_strictly_and_runs() -> None:
    run(program("npm"), "run", "compile", cwd=FOLDER)
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        printed = run(program("node"), "build/application.js", str(client.base_url), REQUEST, cwd=FOLDER)
    assert same_to_three_digits(json.loads(printed), readme_answer())


def test_the_documented_client_compiles_strictly_and_runs() -> None:
    (block,) = blocks(ROOT / "docs" / "clients.md", "ts")
    build = FOLDER / "build"
    (build / "tsconfig.json").write_text('{"extends": "../tsconfig.json", "files": ["documented.ts"]}')
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        text = block.text.replace("http://127.0.0.1:8000", str(client.base_url))
        (build / "documented.ts").write_text(f"const rows = [[Array(8).fill(Array(8).fill(0))]];\n{text}")
        run(program("npx"), "tsc", "--project", "build", cwd=FOLDER)
        label, ignorance = run(program("node"), "build/documented.js", cwd=FOLDER).split()
    assert label in map(str, range(10))
    assert float(ignorance) > 0
