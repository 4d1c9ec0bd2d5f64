"""A repository full of files that mean harm, beside one honest model, which is served as if they were not there."""

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import httpx
import pytest

from tests import artefacts, graphs
from tests.app.engine.fakes import until
from tests.bench.peak import memory
from tests.hostile.file import GIVEN, Hostile
from tests.hostile.kinds import all_files
from tests.hostile.places import put_models, put_plans, put_strangers, put_unreadable
from tests.serving import as_process

ROW = [0.0] * 6
MOST_MEGABYTES = 400
"""The service has 150 without any of them."""


def put(repository: Path, file: Hostile) -> None:
    path = repository / file.name / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(file.content())


def is_live(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").status_code == 200
    except httpx.ConnectError:
        return False


def descendants(process: int) -> list[int]:
    """The processes that a process started, and those that they started."""
    found = []
    with suppress(OSError):  # threads and processes end while they are counted
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                for child in map(int, (task / "children").read_text().split()):
                    found += [child, *descendants(child)]
    return found


QUICK = [file for file in all_files() if not file.slow]
SOME = [file for _, kind in groupby(QUICK, lambda file: file.name.partition("-")[0]) for file in list(kind)[:2]]
(ENDLESS,) = (file for file in all_files() if file.name == "loop-for-ever")


@pytest.mark.parametrize("files", [SOME, pytest.param([*QUICK, ENDLESS], marks=pytest.mark.slow)], ids=["some", "all"])
def test_it_serves_the_honest_model_and_says_what_is_wrong_with_the_others(
    tmp_path: Path, files: Sequence[Hostile]
) -> None:
    repository = tmp_path / "repository"
    artefacts.write(repository, "honest", *graphs.classifier(GIVEN, "abc", submodels=3))
    rejected: dict[str, tuple[str, ...]] = {name: (said,) for name, said in put_models(repository).items()}
    for file in files:
        put(repository, file)
        rejected[file.name] = file.reasons
    plans, unreadable = put_plans(repository), put_unreadable(repository)
    put_strangers(repository, 1000)

    log = str(tmp_path / "log")
    with as_process(repository, log=log, MASKSEMBLES_POLL_SECONDS="1") as (client, process):
        until(lambda: is_live(client), 600)
        models = {model["name"]: model for model in client.get("/models").json()["models"]}
        answer = client.post("/predict", json={"model": "honest", "inputs": [ROW]})
        artefacts.write(repository, "late", *graphs.classifier(GIVEN, "abc", submodels=3))
        late = {"model": "late", "inputs": [ROW]}
        until(lambda: client.post("/predict", json=late).status_code == 200, 600)  # it still looks at the folder
        detail = client.get("/models/honest/versions/1").json()
        peak = memory("VmHWM", process.pid)
    assert process.returncode == 0

    assert answer.status_code == 200
    assert detail["state"] == "available"
    assert models.keys() == {"honest", "strange-versions", *rejected, *plans, *unreadable}
    for name, reasons in rejected.items():
        (version,) = models[name]["versions"]
        assert version["state"] == "rejected", name
        assert any(said in version["reason"] for said in reasons), (name, version["reason"])
        assert version["reason"].isprintable()
        assert len(version["reason"]) <= 500
    for name, said in plans.items():
        (version,) = models[name]["versions"]
        assert version["state"] == "available", name
        if "dangling" in name or "loop" in name:  # it may soon lead to a plan: nothing is said of it before
            assert "reason" not in version
        else:
            assert said in version["reason"]
    for name, said in unreadable.items():
        assert models[name]["reason"] == said
        assert models[name]["versions"] == []
    assert models["strange-versions"]["versions"] == []
    assert peak < MOST_MEGABYTES

    lines = (tmp_path / "log").read_text().splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    messages = [json.loads(line) for line in lines]
    assert {line["level"] for line in messages} <= {"info", "warning", "error"}
    for name in rejected:
        assert any(line["message"].startswith(f"{name}:1 rejected: ") for line in messages), name


def test_it_ends_at_once_while_a_file_holds_up_its_verifier(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    artefacts.write(repository, "honest", *graphs.classifier(GIVEN, "abc", submodels=3))
    log = str(tmp_path / "log")
    with as_process(repository, log=log, MASKSEMBLES_POLL_SECONDS="0.5") as (client, process):
        until(lambda: (tmp_path / "log").read_text().count("honest:1: to verify") == 2, 60)  # for the last time
        put(repository, ENDLESS)
        until(lambda: len(descendants(process.pid)) == 2, 60)
        at_work = descendants(process.pid)
        assert client.post("/predict", json={"model": "honest", "inputs": [ROW]}).status_code == 200
    assert process.returncode == 0
    until(lambda: not any(Path(f"/proc/{child}").exists() for child in at_work))
