"""The service over a repository that is a link, re-pointed under load, as git-sync and the kubelet do it."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from app.contract.repository import plan_path
from tests import artefacts
from tests.app.engine.fakes import until
from tests.serving import as_process

ROWS = {"inputs": [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]}


def test_a_release_is_taken_in_and_the_old_one_deleted_without_a_failed_request(
    tiny_repository: Path, tmp_path: Path
) -> None:
    for release, numbers in (("..2026_01", (1, 2)), ("..2026_02", (2, 3))):
        for number in numbers:
            shutil.copytree(tiny_repository / "tiny" / "1", tmp_path / release / "tiny" / str(number))
    (tmp_path / "..data").symlink_to("..2026_01")
    (tmp_path / "tiny").symlink_to("..data/tiny")  # as in a volume with items: each model is a link
    wrong: list[str] = []
    done = threading.Event()

    with as_process(tmp_path, MASKSEMBLES_POLL_SECONDS="0.3") as (client, _), ThreadPoolExecutor() as pool:

        def ask() -> None:
            with httpx.Client(base_url=client.base_url, timeout=60) as own:
                while not done.is_set():
                    response = own.post("/predict", json=ROWS)
                    if response.status_code != 200:
                        wrong.append(response.text)

        def version() -> int:
            return client.get("/models/tiny").json()["version"]

        try:
            until(lambda: client.get("/health/ready").status_code == 200, 120)
            asking = pool.submit(ask)
            assert version() == 2
            (tmp_path / "..data_tmp").symlink_to("..2026_02")
            (tmp_path / "..data_tmp").rename(tmp_path / "..data")
            shutil.rmtree(tmp_path / "..2026_01")
            until(lambda: version() == 3, 120)
            model, contract = artefacts.read(tmp_path, "tiny", 3)
            planned = contract.model_copy(update={"plan": "branches"})
            path = plan_path(tmp_path, "tiny", 3, "cpu")
            artefacts.save(path.with_name("whole"), model, planned)
            whole = path.with_name("whole").read_bytes()
            path.write_bytes(whole[:-100])

            def plan() -> tuple[str, str | None]:
                status = client.get("/models/tiny").json()["versions"][-1]
                return client.get("/models/tiny/versions/3").json()["contract"]["plan"], status.get("reason")

            until(lambda: (plan()[1] or "").startswith("model.cpu.onnx: not an ONNX file"), 120)
            assert plan()[0] == "folded"
            path.write_bytes(whole)
            until(lambda: plan() == ("branches", None), 120)
        finally:
            done.set()
        asking.result()
    assert wrong == []
