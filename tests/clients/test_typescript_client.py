"""A client of types from the OpenAPI document by openapi-typescript, compiled strictly, run by Node."""

import json
import shutil
from pathlib import Path

from tests.clients.command import run
from tests.pictures import REQUEST, readme_answer, same_to_three_digits
from tests.serving import ROOT, SHIPPED, as_process

FOLDER = Path(__file__).parent / "typescript"


def program(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"there is no {name}: install Node.js 20 or newer and npm"
    return found


def test_an_application_compiles_strictly_and_runs() -> None:
    shutil.rmtree(FOLDER / "build", ignore_errors=True)
    run(program("npm"), "run", "generate", cwd=FOLDER)
    run(program("npm"), "run", "compile", cwd=FOLDER)
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        printed = run(program("node"), "build/application.js", str(client.base_url), REQUEST, cwd=FOLDER)
    assert same_to_three_digits(json.loads(printed), readme_answer())


def test_the_lock_holds_for_every_registry() -> None:
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    locked = [package for path, package in packages.items() if path]
    assert all("integrity" in package and "resolved" not in package for package in locked)
