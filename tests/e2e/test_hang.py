"""A device that does not come back: what clients, orchestrators and operators see of it, and how the process ends."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.app.engine.fakes import until
from tests.serving import as_process

ROW = {"inputs": [[0.5] * 6], "outputs": ["entropy"]}
HEADERS = {"X-Request-Timeout-Ms": "500"}
PATIENCE = 60


@pytest.fixture
def hang(tmp_path: Path) -> Path:
    """The file that says which threads hang."""
    return tmp_path / "hang"


@contextmanager
def service(repository: Path, hang: Path, **settings: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    settings = {
        "HANG_FILE": str(hang),
        "MASKSEMBLES_STUCK_SECONDS": "1",
        "MASKSEMBLES_STUCK_GRACE_SECONDS": "2",
        **settings,
    }
    with as_process(repository, "tests.e2e.hanging_service", **settings) as started:
        yield started


def ask(client: httpx.Client) -> int:
    return client.post("/predict", json=ROW, headers=HEADERS).status_code


def stuck(client: httpx.Client, device: int) -> bool:
    return f'\nmasksembles_device_stuck{{device="{device}"}} 1.0\n' in client.get("/metrics").text


def ready(client: httpx.Client) -> int:
    return client.get("/health/ready").status_code


def live(client: httpx.Client) -> int:
    return client.get("/health/live").status_code


def last_words(process: subprocess.Popen[str]) -> str:
    """The message of the last line of its log."""
    assert process.stderr is not None
    record = json.loads(process.stderr.read().splitlines()[-1])
    assert record["level"] == "critical"
    return str(record["message"])


def test_a_device_that_hangs_ends_readiness_then_liveness_and_is_taken_in_again(
    tiny_repository: Path, hang: Path
) -> None:
    with service(tiny_repository, hang, HANG_DEVICES="1") as (client, process):
        assert ask(client) == 200
        hang.write_text("device-0")
        assert [ask(client), ask(client)] == [504, 504]  # the one at work, and the one that waits
        until(lambda: ready(client) == 503, PATIENCE)
        error = client.get("/health/ready").json()["error"]
        assert error["code"] == "not_ready"
        assert "device 0 has not come back from a run of tiny:1 on 1 rows for" in error["message"]
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/models/tiny/ready").status_code == 503
        refused = client.post("/predict", json=ROW)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "device_stuck")
        assert stuck(client, 0)
        until(lambda: live(client) == 503, PATIENCE)
        assert client.get("/health/live").json()["error"]["code"] == "device_stuck"
        assert client.get("/v2/health/live").json() == {"live": False}
        assert process.poll() is None
        hang.unlink()
        until(lambda: ready(client) == 200, PATIENCE)
        assert live(client) == 200
        assert not stuck(client, 0)
        assert ask(client) == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def test_another_device_goes_on(tiny_repository: Path, hang: Path) -> None:
    with service(tiny_repository, hang, HANG_DEVICES="2") as (client, _):
        assert ask(client) == 200
        hang.write_text("device-1")
        until(lambda: ask(client) == 504, PATIENCE)
        assert [ask(client) for _ in range(20)] == [200] * 20
        until(lambda: stuck(client, 1), PATIENCE)
        assert not stuck(client, 0)
        assert [ask(client) for _ in range(20)] == [200] * 20
        time.sleep(3)  # beyond the grace
        assert (ready(client), live(client)) == (200, 200)
        hang.unlink()
        until(lambda: not stuck(client, 1), PATIENCE)


def test_a_quick_model_that_hangs_the_event_loop_ends_the_process(tiny_repository: Path, hang: Path) -> None:
    with ThreadPoolExecutor(1) as pool, service(tiny_repository, hang) as (client, process):
        assert ask(client) == 200
        hang.write_text("MainThread")
        pool.submit(ask, client)
        assert process.wait(PATIENCE) == 1
        assert "the event loop has not come back from a run of tiny:1 on 1 rows" in last_words(process)


@pytest.mark.parametrize("known", [False, True])
def test_a_signal_ends_it_although_a_device_hangs(tiny_repository: Path, hang: Path, known: bool) -> None:
    settings = {"HANG_DEVICES": "2", "HANG_FOR_EVER": "1", "MASKSEMBLES_STUCK_SECONDS": "1" if known else "3600"}
    with service(tiny_repository, hang, **settings) as (client, process):
        hang.write_text("device-0 device-1")
        assert ask(client) == 504
        until(lambda: not known or stuck(client, 0) or stuck(client, 1), PATIENCE)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 1
        assert time.monotonic() - began < 20
        assert "did not come back from a run" in last_words(process)


@pytest.mark.slow  # it waits for the whole grace
def test_a_signal_ends_it_although_the_event_loop_hangs(tiny_repository: Path, hang: Path) -> None:
    settings = {"HANG_FOR_EVER": "1", "MASKSEMBLES_STUCK_SECONDS": "3600", "MASKSEMBLES_QUEUE_TIMEOUT_MS": "999"}
    with ThreadPoolExecutor(1) as pool, service(tiny_repository, hang, **settings) as (client, process):
        assert ask(client) == 200
        hang.write_text("MainThread")
        pool.submit(ask, client)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 1
        assert "it was told to end" in last_words(process)
