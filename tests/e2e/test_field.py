"""Feedback over replicas with one database, and a recalibration from it, with the programs as a user starts them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract.repository import model_path
from models.data.field import read_field
from tests import artefacts
from tests.app.engine.fakes import until
from tests.e2e.postgres import postgres
from tests.pictures import digits, pictures
from tests.serving import PATIENCE, ROOT, SHIPPED, VERSIONS, as_process, free_port

SHIPPED_MODELS = ROOT / "models" / "repository"
SECRET = {"MASKSEMBLES_FEEDBACK_SECRET": "a secret of 32 characters or more"}
OUTPUTS = ["prediction", "decision", "receipt"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with ExitStack() as opened:
        yield str(tmp_path / "field.db") if request.param == "sqlite" else opened.enter_context(postgres()).url


def ask(client: httpx.Client, model: str, inputs: NDArray[Any]) -> list[dict[str, Any]]:
    body = {"model": model, "inputs": inputs.tolist(), "outputs": OUTPUTS}
    found: list[dict[str, Any]] = client.post("/predict", json=body).raise_for_status().json()["predictions"]
    return found


def send(client: httpx.Client, given: list[dict[str, Any]]) -> httpx.Response:
    return client.post("/feedback", json={"feedback": given})


def test_two_replicas_count_each_receipt_once(url: str) -> None:
    settings = {**SHIPPED, **SECRET, "MASKSEMBLES_FEEDBACK_URL": url}
    with as_process(SHIPPED_MODELS, **settings) as (first, _), as_process(SHIPPED_MODELS, **settings) as (second, _):
        both, rng = (first, second), np.random.default_rng(0)
        rows = [row for client in both for _ in range(2) for row in ask(client, "digits", digits())]
        given = [{"receipt": row["receipt"], "truth": row["index"]} for row in rows]
        # every receipt three times, in disorder, and to both at the same time
        orders = [rng.permutation(800) for _ in range(3)]
        batches = [[given[at] for at in order[part::4]] for order in orders for part in range(4)]
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(send, both[at % 2], batch) for at, batch in enumerate(batches)]
        answers = [one.result().raise_for_status().json() for one in sent]
        quality = [client.get("/models/digits/quality").json()["versions"][0]["heads"][0] for client in both]
        contract = artefacts.read(SHIPPED_MODELS, "digits", 3)[1]
        until(lambda: len(read_field(url, "digits", 3, contract)[""]) == 800, PATIENCE, 0.1)
    assert sum(answer["counted"] for answer in answers) == sum(one["rows"] for one in quality) == 800
    assert sum(answer["repeated"] for answer in answers) == sum(one["repeated"] for one in quality) == 1600
    assert {answer["remembered_by"] for answer in answers} == {"database"}


def test_a_server_that_goes_and_comes_back_loses_nothing() -> None:
    with postgres() as server:
        settings = {**SHIPPED, **SECRET, "MASKSEMBLES_FEEDBACK_URL": server.url}
        with as_process(SHIPPED_MODELS, **settings) as (client, _):
            before = ask(client, "digits", digits()[:100])
            server.stop()
            rows = before + ask(client, "digits", digits()[100:])
            given = [{"receipt": row["receipt"], "truth": row["index"]} for row in rows]
            refused = send(client, given)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "feedback_unavailable")
            until(lambda: "masksembles_feedback_database_failing 1.0" in client.get("/metrics").text, PATIENCE, 0.1)
            server.start()
            assert send(client, given).raise_for_status().json()["counted"] == 200
            until(lambda: 'kept_rows_total{outcome="stored"} 200.0' in client.get("/metrics").text, PATIENCE, 0.1)


def test_a_broken_promise_is_kept_after_a_recalibration(tmp_path: Path) -> None:
    """Pictures with noise that the model was not calibrated for: more are outside of their sets than is promised. A
    calibration on their truths, without the pictures, promises what holds."""
    repository, url = tmp_path / "repository", str(tmp_path / "field.db")
    old = VERSIONS["fashion-mnist"]
    shipped = model_path(SHIPPED_MODELS, "fashion-mnist", old).parent
    shutil.copytree(shipped, repository / "fashion-mnist" / str(old))
    settings = {**SECRET, "MASKSEMBLES_FEEDBACK_URL": url, "MASKSEMBLES_POLL_SECONDS": "0.2"}
    split, rng = pictures(), np.random.default_rng(0)

    def quality(client: httpx.Client, version: int) -> tuple[dict[str, dict[str, Any]], bool]:
        """The promises of a version by name, and whether there is an alarm of drift."""
        versions = client.get("/models/fashion-mnist/quality").json()["versions"]
        (found,) = (one for one in versions if one["version"] == version)
        return {one["promise"]: one for one in found["heads"][0]["promises"]}, found["drift"]["alarm"]

    def noisy(client: httpx.Client, version: int, times: int) -> dict[str, int]:
        """Sends 500 pictures and their truths so many times; returns after how many rows there was what."""
        seen: dict[str, int] = {}
        for at in range(0, times * 500, 100):
            some = np.s_[at % 500 : at % 500 + 100]
            noise = rng.normal(0, 0.1, split.inputs[some].shape)
            rows = ask(client, "fashion-mnist", np.clip(split.inputs[some] + noise, 0, 1).astype(np.float32))
            given = [{"receipt": row["receipt"], "truth": int(truth)} for row, truth in zip(rows, split.labels[some])]
            send(client, given).raise_for_status()
            promises, alarm = quality(client, version)
            if alarm:
                seen.setdefault("drift", at + 100)
            if promises["prediction set 0.9"]["verdict"] == "broken":
                seen.setdefault("broken", at + 100)
        return seen

    with as_process(repository, **settings) as (client, _):
        seen = noisy(client, old, times=3)
        before, _ = quality(client, old)
        contract = artefacts.read(repository, "fashion-mnist", old)[1]
        until(lambda: len(read_field(url, "fashion-mnist", old, contract)[""]) == 1500, PATIENCE, 0.1)
        arguments = [f"fashion-mnist:{old}", "--feedback", url, "--repository", str(repository)]
        policy = ["--policy", "reject energy>c99, defer entropy>r10"]
        command = [sys.executable, "-m", "models", "calibrate", *arguments, *policy]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        until(lambda: client.get("/models/fashion-mnist").json()["version"] == old + 1, PATIENCE, 0.1)
        later = noisy(client, old + 1, times=4)
        after, _ = quality(client, old + 1)
    for name, found in (("before", before), ("after", after)):  # the figures of docs/feedback.md; pytest -s shows them
        shares = {promise: f"{100 * one['failed']['value']:.1f} %" for promise, one in found.items()}
        print(f"{name}: {shares}; rows until then: {seen if found is before else later}")
    assert seen.keys() == {"drift", "broken"}
    assert "broken" not in later
    sets = [f"prediction set {coverage}" for coverage in (0.9, 0.95)]
    assert {before[name]["verdict"] for name in (*sets, "risk 0.05 entropy")} == {"broken"}
    assert {after[name]["verdict"] for name in (sets[0], "risk 0.1 entropy")} == {"kept"}
    assert after[sets[1]]["verdict"] != "broken"


def start(**settings: str) -> str:
    """The last line of the error output of a service that does not start."""
    environment = {**os.environ, "MASKSEMBLES_PORT": str(free_port()), **settings}
    command = [sys.executable, "-m", "app"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_without_its_packages_the_service_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy").mkdir()
    missing = "raise ModuleNotFoundError(\"No module named 'sqlalchemy'\", name='sqlalchemy')"
    (tmp_path / "sqlalchemy" / "__init__.py").write_text(missing)
    assert start(**SECRET, MASKSEMBLES_FEEDBACK_URL="a.db", PYTHONPATH=str(tmp_path)) == (
        "error: MASKSEMBLES_FEEDBACK_URL is set, but there is no sqlalchemy: install the extra feedback "
        "(pip install '.[feedback]')"
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"MASKSEMBLES_FEEDBACK_URL": "a"}, " is set, but without MASKSEMBLES_FEEDBACK_SECRET there are no receipts"),
        (
            {**SECRET, "MASKSEMBLES_FEEDBACK_URL": "mysql://a"},
            ": expected a database of SQLite or PostgreSQL, got mysql",
        ),
    ],
)
def test_a_setting_that_cannot_work_ends_the_start(settings: dict[str, str], says: str) -> None:
    assert start(**settings) == f"error: MASKSEMBLES_FEEDBACK_URL{says}"


def test_nothing_imports_sqlalchemy_where_there_is_no_database() -> None:
    command = [sys.executable, "-c", "import sys, app.service; sys.exit('sqlalchemy' in sys.modules)"]
    assert subprocess.run(command, cwd=ROOT, timeout=PATIENCE).returncode == 0
