"""How the service ends: by a signal, under load, with everything answered that it accepted."""

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import orjson
import pytest

from tests.app.engine.fakes import until
from tests.pictures import REQUEST, pictures
from tests.serving import ROOT, SHIPPED, as_process

REPOSITORY = ROOT / "models" / "repository"
HEADERS = {"content-type": "application/json"}
BODY = REQUEST.read_bytes()


def post(client: httpx.Client) -> httpx.Response:
    return client.post("/predict", content=BODY, headers=HEADERS)


def until_refused(address: httpx.URL) -> tuple[int, list[str]]:
    """Posts until no connection is to be had any more; how many were answered, and what else than 200 came."""
    wrong: list[str] = []
    answered = 0
    with httpx.Client(base_url=address, timeout=30) as client:
        while True:
            try:
                response = post(client)
            except httpx.TransportError:
                return answered, wrong
            answered += 1
            if response.status_code != 200:
                wrong.append(response.text)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_leaves_no_accepted_request_without_an_answer(sent: signal.Signals) -> None:
    with (
        ThreadPoolExecutor(8) as pool,
        as_process(REPOSITORY, **SHIPPED, MASKSEMBLES_ACCESS_LOG="true") as (client, process),
    ):
        assert process.stderr is not None
        log = pool.submit(process.stderr.read)
        tasks = [pool.submit(until_refused, client.base_url) for _ in range(6)]
        time.sleep(1)
        process.send_signal(sent)
        time.sleep(0.3)
        ready = httpx.get(f"{client.base_url}/health/ready")
        assert ready.status_code == 503
        assert ready.json()["error"]["code"] == "not_ready"
        assert "stopping" in ready.json()["error"]["message"]
        answered, wrong = zip(*(task.result() for task in tasks))
        assert process.wait(20) == 0
        accepted = [line for line in log.result().splitlines() if '"POST /predict"' in line]
    assert wrong == ([],) * 6
    assert sum(answered) == len(accepted) > 100


def test_what_waits_is_answered_after_the_signal() -> None:
    body = orjson.dumps({"model": "fashion-mnist", "inputs": pictures().inputs.tolist(), "outputs": ["entropy"]})

    def ask(address: httpx.URL) -> int:
        response = httpx.post(f"{address}/predict", content=body, headers=HEADERS, timeout=60).raise_for_status()
        return len(response.json()["predictions"])

    with (
        ThreadPoolExecutor(16) as pool,
        as_process(REPOSITORY, **SHIPPED, MASKSEMBLES_MAX_QUEUE_ROWS="100000") as (client, process),
    ):
        tasks = [pool.submit(ask, client.base_url) for _ in range(16)]
        until(lambda: float(client.get("/metrics").text.partition("\nmasksembles_queue_rows ")[2].split()[0]) > 100)
        process.send_signal(signal.SIGTERM)
        assert [task.result() for task in tasks] == [500] * 16
        assert process.wait(20) == 0


def test_without_connections_it_ends() -> None:
    with as_process(REPOSITORY, **SHIPPED) as (client, process):
        client.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_second_interrupt_does_not_wait() -> None:
    with as_process(REPOSITORY, **SHIPPED) as (client, process), socket.socket() as half:
        half.connect((client.base_url.host, client.base_url.port or 0))
        half.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        client.get("/health/ready").raise_for_status()
        process.send_signal(signal.SIGINT)
        time.sleep(2)
        assert process.poll() is None  # it waits for the other half
        process.send_signal(signal.SIGINT)
        process.wait(5)


def test_the_log_is_json_and_has_the_ids_of_requests() -> None:
    with as_process(REPOSITORY, **SHIPPED, MASKSEMBLES_ACCESS_LOG="true") as (client, process):
        client.post("/predict", content=BODY, headers={**HEADERS, "x-request-id": "mine-1"})
        client.get("/nowhere%0A%7B%22forged%22%3A1%7D")
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        lines = process.stderr.read().splitlines()
    records = [json.loads(line) for line in lines]
    logged = {record.get("request_id"): record for record in records}
    assert logged["mine-1"]["status"] == 200
    assert logged["mine-1"]["seconds"] > 0
    assert not any("forged" in record for record in records)
    assert "inputs" not in "".join(lines)
