"""What a client is told while the device is busy."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.engine.reconciler import Reconciler
from app.engine.session import Session
from tests.app.engine.fakes import until
from tests.serving import open_models, serving

ROW = {"model": "tiny", "inputs": [[0.5] * 6]}


class Held:
    """The device, held up until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = threading.Event()
        self.rows: list[int] = []
        real = Session.run

        def run(session: Session, inputs: Any, *rest: Any) -> Any:
            self.rows.append(len(inputs["input"]))
            assert self.free.wait(30)
            return real(session, inputs, *rest)

        monkeypatch.setattr(Session, "run", run)


@pytest.fixture
def queue_of_2(tiny_repository: Path) -> Iterator[tuple[httpx.Client, Reconciler]]:
    models = open_models(tiny_repository)
    models.registry.find("tiny", None).inline_max_rows = 0
    with serving(tiny_repository, models=models, max_queue_rows=2, queue_timeout_ms=20_000) as client:
        yield client, models


def test_a_full_queue_is_503_with_retry_after_and_a_late_row_504(
    queue_of_2: tuple[httpx.Client, Reconciler], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = queue_of_2
    held = Held(monkeypatch)

    def waiting() -> float:
        return float(client.get("/metrics").text.partition("\nmasksembles_queue_rows ")[2].split()[0])

    with ThreadPoolExecutor(4) as pool:
        try:
            tasks = [pool.submit(client.post, "/predict", json=ROW)]
            until(lambda: held.rows == [1])
            tasks.append(pool.submit(client.post, "/predict", json=ROW))
            until(lambda: waiting() == 1)
            late = client.post("/predict", json=ROW, headers={"X-Request-Timeout-Ms": "50"})
            assert late.status_code == 504
            assert late.json()["error"]["code"] == "deadline_exceeded"
            tasks.append(pool.submit(client.post, "/predict", json=ROW))
            until(lambda: waiting() == 2)
            refused = client.post("/predict", json=ROW)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "queue_full"
            assert int(refused.headers["retry-after"]) >= 1
            assert client.get("/health/ready").status_code == 200
        finally:
            held.free.set()
        assert [task.result().status_code for task in tasks] == [200, 200, 200]
    assert sum(held.rows) == 3  # neither the late nor the refused one


def test_a_refusal_reaches_a_client_that_is_still_sending(
    queue_of_2: tuple[httpx.Client, Reconciler], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = queue_of_2
    held = Held(monkeypatch)
    with ThreadPoolExecutor(3) as pool:
        try:
            tasks = [pool.submit(client.post, "/predict", json=ROW)]
            until(lambda: held.rows == [1])
            tasks += [pool.submit(client.post, "/predict", json=ROW) for _ in range(2)]
            until(lambda: "\nmasksembles_queue_rows 2.0" in client.get("/metrics").text)
            with socket.socket() as late:
                late.connect((client.base_url.host, client.base_url.port or 0))
                late.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n")
                time.sleep(0.2)
                late.sendall(b"{        ")
                late.settimeout(10)
                with late.makefile("rb") as answer:
                    assert answer.read().startswith(b"HTTP/1.1 503")
        finally:
            held.free.set()
        assert [task.result().status_code for task in tasks] == [200, 200, 200]


@pytest.mark.parametrize("value", ["soon", "0", "-5", "1.5", "9" * 12, ""])
def test_a_bad_timeout_is_named(client: httpx.Client, value: str) -> None:
    response = client.post("/predict", json=ROW, headers={"X-Request-Timeout-Ms": value})
    assert response.status_code == 422
    assert response.json()["error"]["field"] == "X-Request-Timeout-Ms"


def test_more_time_than_the_setting_gives_is_cut_to_it(client: httpx.Client) -> None:
    assert client.post("/predict", json=ROW, headers={"X-Request-Timeout-Ms": "999999999"}).status_code == 200


def test_a_client_that_vanishes_has_its_rows_dropped(
    queue_of_2: tuple[httpx.Client, Reconciler], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = queue_of_2
    held = Held(monkeypatch)

    async def vanish() -> None:
        async with httpx.AsyncClient(base_url=client.base_url, timeout=30) as leaving:
            task = asyncio.ensure_future(leaving.post("/predict", json=ROW))
            await asyncio.sleep(0.2)
            task.cancel()

    with ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(client.post, "/predict", json=ROW)
            until(lambda: held.rows == [1])
            asyncio.run(vanish())
            until(lambda: 'outcome="client_gone",version="1"} 1.0' in client.get("/metrics").text)
            assert "\nmasksembles_queue_rows 0.0" in client.get("/metrics").text
        finally:
            held.free.set()
        assert first.result().status_code == 200
    assert client.post("/predict", json=ROW).status_code == 200
    assert held.rows == [1, 1]


def test_a_client_that_vanishes_while_it_sends_is_no_failure_of_the_service(client: httpx.Client) -> None:
    def count(outcome: str) -> float:
        found = [line for line in client.get("/metrics").text.splitlines() if f'outcome="{outcome}",version=""' in line]
        return float(found[0].split()[-1]) if found else 0.0

    gone, failed = count("client_gone"), count("internal_error")
    with socket.socket() as half:
        half.connect((client.base_url.host, client.base_url.port or 0))
        half.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        time.sleep(0.1)
    until(lambda: count("client_gone") == gone + 1)
    assert count("internal_error") == failed
