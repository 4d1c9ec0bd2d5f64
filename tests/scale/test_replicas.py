"""What clients see while replicas behind the proxy go, come and fail; nobody who tries again loses a request."""

import re
import shutil
import time
from pathlib import Path

from tests.scale.conftest import REPLICAS
from tests.scale.fleet import Fleet, docker, health, until
from tests.scale.traffic import traffic
from tests.serving import ROOT


def version(model: str, repository: Path) -> int:
    return max(int(path.name) for path in (repository / model).iterdir())


def test_a_rolling_restart_fails_nobody(replicas: Fleet) -> None:
    with traffic(replicas.port) as seen:
        for name in replicas.replicas():
            docker("restart", name)
            until(lambda name=name: health(name) == "healthy")  # type: ignore[misc]
            replicas.wait_for(REPLICAS)
    print(f"\nrolling restart: {seen}")
    assert set(seen.with_retry) == {"ok"}
    assert seen.failed == 0


def test_a_replica_that_is_killed_fails_nobody_who_tries_again(replicas: Fleet) -> None:
    name = replicas.replicas()[0]
    with traffic(replicas.port) as seen:
        for _ in range(3):
            time.sleep(2)
            docker("kill", "--signal", "KILL", name)
            time.sleep(2)
            docker("start", name)
            until(lambda: health(name) == "healthy")
            replicas.wait_for(REPLICAS)
    print(f"\nSIGKILL, three times: {seen}")
    assert set(seen.with_retry) == {"ok"}
    assert seen.failed <= 3  # an answer that was half sent


def test_a_stuck_device_fails_nobody_who_tries_again(replicas: Fleet, repository: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    hang = tmp_path / "hang"
    options = (
        "-v", f"{repository}:/models:ro", "-v", f"{tmp_path}:/hang:ro",
        "-v", f"{ROOT}/tests/e2e/hanging_service.py:/srv/hanging_service.py:ro",
        "-e", "HANG_FILE=/hang/hang", "-e", "HANG_DEVICES=1",
        "-e", "MASKSEMBLES_STUCK_SECONDS=3", "-e", "MASKSEMBLES_QUEUE_TIMEOUT_MS=2000",
    )  # fmt: skip
    with replicas.joined("stuck", *options, command=("python", "-m", "hanging_service")) as name:
        replicas.wait_for(REPLICAS + 1)
        with traffic(replicas.port) as seen:
            time.sleep(3)
            hang.write_text("device-0")
            replicas.wait_for(REPLICAS)
            assert 'masksembles_device_stuck{device="0"} 1.0' in replicas.replica_metrics(name)
            time.sleep(3)  # beyond the deadline of what it had
            lost = seen.failed
            time.sleep(3)
            assert seen.failed == lost
            hang.unlink()
            replicas.wait_for(REPLICAS + 1)
    print(f"\nstuck device: {seen}")
    assert set(seen.with_retry) == {"ok"}
    assert set(seen.without) <= {"200", "504"}
    assert 0 < seen.failed <= 20


def test_a_version_that_one_replica_cannot_load_fails_nobody(replicas: Fleet, repository: Path, tmp_path: Path) -> None:
    """It rejects what the others take, and goes on with what it has."""
    tmp_path.chmod(0o755)
    shutil.copytree(repository / "digits", tmp_path / "digits")
    before = version("digits", repository)
    with replicas.joined("apart", "-v", f"{tmp_path}:/models:ro") as name:
        replicas.wait_for(REPLICAS + 1)
        with traffic(replicas.port) as seen:
            damaged = tmp_path / "digits" / str(before + 1)
            damaged.mkdir()
            (damaged / "model.onnx").write_bytes(b"half a file")
            shutil.copytree(repository / "digits" / str(before), repository / "coming")
            (repository / "coming").rename(repository / "digits" / str(before + 1))
            until(lambda: _versions(replicas.replica_metrics(name), "rejected") == 1)
            until(lambda: seen.versions[before + 1] > 100)
    print(f"\na version that one replica rejects: {seen}")
    assert set(seen.with_retry) == {"ok"}
    assert seen.failed == 0
    assert set(seen.versions) == {before, before + 1}


def _versions(metrics: str, state: str) -> int:
    counts = re.findall(rf'^masksembles_versions{{.*state="{state}".*}} (\d+)', metrics, re.MULTILINE)
    return sum(map(int, counts))
