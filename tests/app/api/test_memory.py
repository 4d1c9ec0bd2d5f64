"""The memory budget: by itself, and as requests that wait, unpack or are answered use it up."""

import gzip
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api import memory
from app.api.memory import SMALL, MemoryBudget, budget_size
from app.engine.session import Session
from app.errors import MemoryFull
from tests.app.engine.fakes import until
from tests.serving import open_models, serving

MIB = 2**20
ROWS = np.full((100_000, 6), 0.5, np.float32)
BODY = ROWS.tobytes()  # 2.4 MB
ALL = (8 + 4 * (3 + 9 + 4 + 9)) * len(ROWS)
"""Bytes of all outputs for them."""
RAW = {"Inference-Header-Content-Length": "0"}
PATH = "/v2/models/tiny/infer"


def test_the_default_is_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "memory_size", lambda: 2**30)
    assert budget_size(None) == 2**28
    assert budget_size(300) == 300 * MIB


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    refusals: list[int] = []
    budget = MemoryBudget(8 * MIB, lambda: refusals.append(1))
    with budget.hold() as first, budget.hold() as second:
        first.resize(4 * MIB)
        second.resize(2 * MIB)
        with pytest.raises(MemoryFull, match=r"hold 6291456 bytes of at most 8388608 .* for the 4194304 of") as refused:
            second.resize(4 * MIB)
        assert refused.value.retry_after == 1
        assert (budget.held, len(refusals)) == (6 * MIB, 1)
        first.resize(3 * MIB)  # less always fits
        second.resize(4 * MIB)
        assert (budget.held, len(refusals)) == (7 * MIB, 1)
    assert budget.held == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_whatever_ends_a_request_releases_what_it_holds(error: type[BaseException]) -> None:
    budget = MemoryBudget(MIB)

    def request() -> None:
        with budget.hold() as held:
            held.resize(1000)
            held.resize(MIB)
            raise error

    with pytest.raises(error):
        request()
    assert budget.held == 0


def test_an_eighth_is_left_to_small_requests() -> None:
    budget = MemoryBudget(8 * MIB)
    with budget.hold() as large, budget.hold() as too_large:
        large.resize(7 * MIB)
        with pytest.raises(MemoryFull):
            too_large.resize(SMALL + 1)
        small = [budget.hold() for _ in range(17)]
        for each in small[:16]:
            each.resize(SMALL)
        assert budget.held == 8 * MIB
        with pytest.raises(MemoryFull):
            small[16].resize(SMALL)
        with pytest.raises(MemoryFull):  # a small one that becomes large is large
            small[0].resize(SMALL + 1)
        large.resize(6 * MIB)
        small[16].resize(SMALL)  # beyond the reserve, there is room all the same
        for each in small:
            each.resize(0)


def test_a_large_request_that_is_alone_fits_and_leaves_small_ones_their_share() -> None:
    budget = MemoryBudget(MIB)
    with budget.hold() as large, budget.hold() as other, budget.hold() as small:
        small.resize(SMALL)
        large.resize(5 * MIB)
        large.resize(6 * MIB)
        with pytest.raises(MemoryFull):
            other.resize(SMALL + 1)
        other.resize(SMALL)
        large.resize(0)
        other.resize(5 * MIB)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20 * SMALL))))
def test_the_sum_of_what_requests_hold_is_bounded(steps: list[tuple[int, int]]) -> None:
    budget = MemoryBudget(16 * SMALL)
    requests = [budget.hold() for _ in range(5)]
    sizes = [0] * 5
    for index, size in steps:
        try:
            requests[index].resize(size)
            sizes[index] = size
        except MemoryFull:
            assert size > sizes[index]
        assert budget.held == sum(sizes)
        large = [held for held in sizes if held > SMALL]
        assert budget.held <= 16 * SMALL or len(large) == 1
        assert sum(large) <= 14 * SMALL or len(large) == 1


def gauge(client: httpx.Client, name: str) -> float:
    return float(client.get("/metrics").text.partition(f"\nmasksembles_memory_{name} ")[2].split()[0])


def ask(client: httpx.Client, body: bytes = BODY, **headers: str) -> httpx.Response:
    return client.post(PATH, content=body, headers={**RAW, "accept-encoding": "identity", **headers})


def json_rows(client: httpx.Client) -> httpx.Response:
    tensor = {"name": "input", "datatype": "FP32", "shape": [100_000, 6], "data": [0.5] * 600_000}
    return client.post(PATH, json={"inputs": [tensor], "outputs": [{"name": "entropy"}]})


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (ask, ALL),
        (lambda client: ask(client, gzip.compress(BODY), **{"content-encoding": "gzip"}), ALL),
        (json_rows, 4 * len(ROWS)),
    ],
    ids=["bytes", "gzip", "json"],
)
def test_rows_that_wait_count_with_their_answer_however_they_came(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch, first: Callable[[httpx.Client], httpx.Response], answer: int
) -> None:
    free = threading.Event()
    running: list[int] = []
    real = Session.run

    def run(session: Session, inputs: Any, *rest: Any) -> Any:
        running.append(len(inputs["input"]))
        assert free.wait(60)
        return real(session, inputs, *rest)

    models = open_models(tiny_repository)
    models.registry.find("tiny", None).inline_max_rows = 0
    monkeypatch.setattr(Session, "run", run)
    settings = {"memory_budget_mb": 14, "max_rows": 100_000, "max_queue_rows": 300_000, "queue_timeout_ms": 60_000}
    with serving(tiny_repository, models=models, **settings) as client, ThreadPoolExecutor(2) as pool:
        try:
            waits = pool.submit(first, client)
            until(lambda: bool(running))
            assert gauge(client, "budget_bytes") == 14 * MIB
            assert len(BODY) <= gauge(client, "held_bytes") - answer <= len(BODY) + 200
            packed = gzip.compress(BODY)
            assert len(packed) < SMALL
            for refused in (ask(client), ask(client, packed, **{"content-encoding": "gzip"})):
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert "MASKSEMBLES_MEMORY_BUDGET_MB" in refused.json()["error"]
            assert gauge(client, "refusals_total") == 2
            assert 'outcome="memory_full",version="1"} 2.0' in client.get("/metrics").text
            assert client.get("/health/ready").status_code == 200
            small = pool.submit(ask, client, BODY[:24])
            until(lambda: gauge(client, "held_bytes") >= len(BODY) + 24)
        finally:
            free.set()
        assert waits.result().status_code == small.result().status_code == 200
        until(lambda: gauge(client, "held_bytes") == 0)
        assert ask(client).status_code == 200


def test_an_answer_that_is_not_read_counts_until_its_client_goes(tiny_repository: Path) -> None:
    settings = {"memory_budget_mb": 100, "max_rows": 100_000}
    with serving(tiny_repository, **settings) as client:
        with socket.socket() as idle:
            idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle.connect((client.base_url.host, client.base_url.port or 0))
            head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
            body = b'{"inputs":[' + b",".join([b"[0,0,0,0,0,1]"] * 50_000) + b"]}"
            idle.sendall(head.format(len(body)).encode() + body)
            until(lambda: 'outcome="ok"' in client.get("/metrics").text)
            assert gauge(client, "held_bytes") > 10 * MIB
        until(lambda: gauge(client, "held_bytes") == 0)


def test_an_answer_that_does_not_fit_is_refused(tiny_repository: Path) -> None:
    """A request that was admitted may not take what is beyond the budget for its answer."""
    with serving(tiny_repository, memory_budget_mb=3, max_rows=100_000) as client:
        with socket.socket() as other:
            other.connect((client.base_url.host, client.base_url.port or 0))
            other.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            other.sendall(b"Content-Length: 100000\r\n\r\n{")
            until(lambda: gauge(client, "held_bytes") == 100_000)
            refused = client.post("/predict", json={"inputs": [[0.5] * 6] * 20_000})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "memory_full")
        until(lambda: gauge(client, "held_bytes") == 0)
        assert client.post("/predict", json={"inputs": [[0.5] * 6] * 20_000}).status_code == 200
