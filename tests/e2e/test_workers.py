"""Several processes on one port: what clients and operators see of them, also when one of them dies."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from prometheus_client.parser import text_string_to_metric_families

from tests.app.engine.fakes import until
from tests.serving import ROOT, as_process

BODY = json.dumps({"inputs": [[0.1] * 6]})
HEADERS = {"content-type": "application/json"}
SECONDS = 90.0
HANGING = "tests.e2e.hanging_service"


class Running(NamedTuple):
    """A service with two workers, all ready."""

    address: str
    process: subprocess.Popen[str]
    log: Path

    def post(self) -> int:
        """The status of a request on a connection of its own."""
        return httpx.post(f"{self.address}/predict", content=BODY, headers=HEADERS, timeout=30).status_code

    def ready(self) -> httpx.Response:
        return httpx.get(f"{self.address}/health/ready", timeout=30)

    def records(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def pids(self, worker: int) -> list[int]:
        """The processes that were there as this worker, the present one last."""
        said = [str(record["message"]) for record in self.records() if record.get("worker") == worker]
        return [int(found[1]) for line in said if (found := re.match(r"Started server process \[(\d+)\]", line))]

    def counted(self, name: str = "masksembles_requests_total", **labels: str) -> float:
        """The sum of a metric over its labels, as one worker or the other tells it."""
        text = httpx.get(f"{self.address}/metrics", timeout=30).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


@contextmanager
def workers(repository: Path, log: Path, module: str = "app", **settings: str) -> Iterator[Running]:
    environment = {"MASKSEMBLES_WORKERS": "2", "MASKSEMBLES_ACCESS_LOG": "true", **settings}
    with as_process(repository, module, str(log), **environment) as (client, process):
        until(lambda: client.get("/health/ready").status_code == 200, SECONDS)
        client.close()
        yield Running(str(client.base_url).rstrip("/"), process, log)


def test_both_answer_and_one_scrape_tells_of_all(tiny_repository: Path, tmp_path: Path) -> None:
    with workers(tiny_repository, tmp_path / "log") as service, ThreadPoolExecutor(8) as pool:
        assert [task.result() for task in [pool.submit(service.post) for _ in range(80)]] == [200] * 80
        until(lambda: service.counted() == 80, SECONDS)
        assert [service.counted() for _ in range(20)] == [80] * 20  # whoever is asked
        assert service.counted("masksembles_batch_rows_sum") == 80
        assert service.counted("masksembles_ready") == 1
        assert service.counted("masksembles_queue_limit_rows") == 1024
        assert service.counted("masksembles_versions") == 1
        assert service.counted("masksembles_reloads_total", result="loaded") == 2  # each loads
        stats = httpx.get(f"{service.address}/v2/models/tiny/stats", timeout=30).json()["model_stats"][0]
        assert stats["inference_count"] == stats["inference_stats"]["success"]["count"] == 80
    assert service.process.returncode == 0
    posted = [record["worker"] for record in service.records() if record["message"] == "POST /predict"]
    assert set(posted) == {1, 2}


def until_refused(service: Running) -> tuple[int, list[int]]:
    """Posts until no connection is to be had any more; how many were answered, and what else than 200 came."""
    statuses: list[int] = []
    with httpx.Client(timeout=30) as client:
        while True:
            try:
                statuses.append(client.post(f"{service.address}/predict", content=BODY, headers=HEADERS).status_code)
            except httpx.TransportError:
                return len(statuses), [status for status in statuses if status != 200]


def test_a_signal_under_load_leaves_no_accepted_request_without_an_answer(
    tiny_repository: Path, tmp_path: Path
) -> None:
    with workers(tiny_repository, tmp_path / "log") as service, ThreadPoolExecutor(6) as pool:
        tasks = [pool.submit(until_refused, service) for _ in range(6)]
        time.sleep(1)
        service.process.send_signal(signal.SIGTERM)
        answered, wrong = zip(*(task.result() for task in tasks))
        assert service.process.wait(30) == 0
    assert wrong == ([],) * 6
    accepted = [record for record in service.records() if record["message"] == "POST /predict"]
    assert sum(answered) == len(accepted) > 100
    assert {record["worker"] for record in accepted} == {1, 2}


def test_a_worker_that_dies_is_replaced_and_takes_only_its_own_requests_with_it(
    tiny_repository: Path, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"

    def post_on(service: Running) -> tuple[int, int]:
        """Posts on one connection after the other; how many were answered, and how many failed."""
        answered = failed = 0
        while not stop.exists():
            try:
                answered += service.post() == 200
            except httpx.TransportError:
                failed += 1
        return answered, failed

    with workers(tiny_repository, tmp_path / "log") as service, ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(post_on, service) for _ in range(4)]
        until(lambda: service.counted() > 100, SECONDS)
        before = service.counted()
        (killed,) = service.pids(1)
        os.kill(killed, signal.SIGKILL)
        assert service.counted() >= before
        until(lambda: service.ready().status_code == 503, SECONDS)
        assert "worker 1 of 2 is starting" in service.ready().json()["error"]["message"]
        until(lambda: service.ready().status_code == 200, SECONDS)
        until(lambda: service.counted() > before + 100, SECONDS)
        stop.touch()
        answered, failed = map(sum, zip(*(task.result() for task in tasks)))
        assert failed <= 4  # one connection each
        until(lambda: service.counted(outcome="ok") >= answered - 100, SECONDS)
        assert len(service.pids(1)) == 2
        assert len(service.pids(2)) == 1
    assert service.process.returncode == 0
    assert any("worker 1 is replaced: worker 1 ended with -9" in str(record["message"]) for record in service.records())


def test_a_worker_that_hangs_is_replaced(tiny_repository: Path, tmp_path: Path) -> None:
    patience = {"MASKSEMBLES_STUCK_SECONDS": "2", "MASKSEMBLES_STUCK_GRACE_SECONDS": "1"}
    with workers(tiny_repository, tmp_path / "log", **patience) as service:
        (hung,) = service.pids(2)
        os.kill(hung, signal.SIGSTOP)
        until(lambda: len(service.pids(2)) == 2, SECONDS)
        until(lambda: service.ready().status_code == 200, SECONDS)
    assert service.process.returncode == 0


def test_a_worker_whose_run_hangs_says_so_and_is_replaced(tiny_repository: Path, tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    patience = {f"MASKSEMBLES_STUCK_{name}": "1" for name in ("SECONDS", "FACTOR", "GRACE_SECONDS")}
    with (
        workers(tiny_repository, tmp_path / "log", HANGING, HANG_FILE=str(hang), **patience) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        hang.write_text("MainThread")
        lost = pool.submit(service.post)
        until(lambda: "the process ends: the event loop has not come back" in service.log.read_text(), SECONDS)
        assert isinstance(lost.exception(SECONDS), httpx.TransportError)
        hang.unlink()
        until(lambda: len(service.pids(1)) + len(service.pids(2)) == 3, SECONDS)
        until(lambda: service.ready().status_code == 200, SECONDS)
        assert service.post() == 200
    assert service.process.returncode == 0


def test_workers_end_when_nobody_supervises_them(tiny_repository: Path, tmp_path: Path) -> None:
    with workers(tiny_repository, tmp_path / "log") as service:
        (pids,) = zip(service.pids(1), service.pids(2))
        service.process.kill()
        until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in pids), SECONDS)


def test_a_rate_is_that_of_all_together(tiny_repository: Path, tmp_path: Path) -> None:
    settings = {"MASKSEMBLES_RATE_LIMIT": "10"}
    with workers(tiny_repository, tmp_path / "log", **settings) as service, ThreadPoolExecutor(8) as pool:
        time.sleep(1.1)  # the bucket is full again
        began = time.monotonic()
        statuses = [task.result() for task in [pool.submit(service.post) for _ in range(100)]]
        took = time.monotonic() - began
    assert set(statuses) == {200, 429}
    assert 10 <= statuses.count(200) <= 10 + 10 * took
    refused = [record["worker"] for record in service.records() if record.get("status") == 429]
    assert set(refused) == {1, 2}


def start(**settings: str) -> subprocess.CompletedProcess[str]:
    """A start that fails."""
    environment = {**os.environ, "MASKSEMBLES_WORKERS": "2", "MASKSEMBLES_PORT": "0", **settings}
    return subprocess.run(
        [sys.executable, "-m", "app"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"MASKSEMBLES_MODEL_REPOSITORY": "/nowhere"}, "MASKSEMBLES_MODEL_REPOSITORY: /nowhere is no folder"),
        ({"MASKSEMBLES_ENABLE_ADMIN": "true"}, "MASKSEMBLES_ENABLE_ADMIN with MASKSEMBLES_WORKERS=2"),
        ({"MASKSEMBLES_WORKERS": "0"}, "MASKSEMBLES_WORKERS: Input should be greater than or equal to 1"),
    ],
)
def test_a_start_that_fails_says_why_once(settings: dict[str, str], expected: str) -> None:
    done = start(**settings)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {expected}")


def test_grpc_is_answered_by_all_on_one_port(tiny_repository: Path, tmp_path: Path) -> None:
    def ask(_: int) -> int:
        """A request on a connection of its own; the rows of its answer."""
        given = grpcclient.InferInput("input", [1, 6], "FP32")
        given.set_data_from_numpy(np.zeros((1, 6), np.float32))
        options = [("grpc.use_local_subchannel_pool", 1)]
        with closing(grpcclient.InferenceServerClient(f"127.0.0.1:{port}", channel_args=options)) as client:
            return len(client.infer("tiny", [given]).as_numpy("probabilities"))

    with (
        workers(tiny_repository, tmp_path / "log", MASKSEMBLES_GRPC_PORT="0") as service,
        ThreadPoolExecutor(4) as pool,
    ):
        told = [record for record in service.records() if str(record["message"]).startswith("gRPC on")]
        ports = {str(record["message"]).rpartition(":")[2] for record in told}
        assert {record["worker"] for record in told} == {1, 2}
        (port,) = ports
        assert list(pool.map(ask, range(40))) == [1] * 40
        until(lambda: service.counted(outcome="ok") == 40, SECONDS)
    assert service.process.returncode == 0


def test_a_port_for_grpc_that_is_taken_is_told(tiny_repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = start(MASKSEMBLES_MODEL_REPOSITORY=str(tiny_repository), MASKSEMBLES_GRPC_PORT=port)
    assert done.returncode == 1
    assert f"error: MASKSEMBLES_GRPC_PORT={port}: Address already in use" in done.stderr
