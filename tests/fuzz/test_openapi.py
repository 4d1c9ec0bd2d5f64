"""Requests made from the OpenAPI document by schemathesis, against the real service with keys."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.auth import keys
from tests.fuzz.report import note
from tests.fuzz.size import EXAMPLES
from tests.serving import ROOT, SHIPPED, as_process

OPERATIONS = 26
UNLOADING = ("unload_model", "v2_repository_unload")


def run(client: httpx.Client, key: str, folder: Path, examples: int, *options: str) -> int:
    """Every check on every operation; how many cases that were."""
    config = (Path(__file__).parent / "schemathesis.toml").read_text()
    (folder / "schemathesis.toml").write_text(config)
    found = subprocess.run(
        [
            str(Path(sys.executable).parent / "schemathesis"), "run", f"{client.base_url}/openapi.json",
            "--checks", "all", "--max-examples", str(examples), "--continue-on-failure",
            "--suppress-health-check", "all", "-H", f"X-API-Key: {key}", "--no-color", *options,
        ],
        cwd=folder, env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    cases = re.search(r"(\d+) generated", found.stdout)
    assert cases is not None
    return int(cases[1])


@pytest.mark.slow
def test_nothing_that_the_document_allows_or_forbids_breaks_the_service(tmp_path: Path) -> None:
    key, line = keys.make_key("fuzz", "predict+metrics+admin")
    settings = {
        **SHIPPED,
        "MASKSEMBLES_LOAD": "start",  # a deadline of some milliseconds may pass while a model is loaded
        "MASKSEMBLES_KEYS": line,
        "MASKSEMBLES_ENABLE_ADMIN": "true",
        "MASKSEMBLES_DEFAULT_MODEL": "digits",
    }
    began = time.monotonic()
    with as_process(ROOT / "models" / "repository", **settings) as (client, process):
        without = [part for name in UNLOADING for part in ("--exclude-operation-id", name)]
        each = max(5, EXAMPLES // OPERATIONS * 8 // 5)  # some operations have no so many different cases
        cases = run(client, key, tmp_path, each, "--phases", "examples,coverage,fuzzing", *without)
        cases += run(client, key, tmp_path, max(5, each // 30), "--phases", "stateful", *without)
        only = [part for name in UNLOADING for part in ("--include-operation-id", name)]
        cases += run(client, key, tmp_path, 5, *only)
        note("openapi", cases=cases, seconds=round(time.monotonic() - began))
        assert cases >= EXAMPLES
        assert client.post("/models/digits/load", headers={"x-api-key": key}).status_code == 200
        answer = client.post("/predict", json={"inputs": [[[[0.5] * 8] * 8]]}, headers={"x-api-key": key})
        assert answer.raise_for_status().json()["model"]["name"] == "digits"
        assert process.poll() is None
