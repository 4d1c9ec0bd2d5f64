"""What passes the proxy, and what it says itself."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.scale.fleet import Fleet, docker, until
from tests.serving import ROOT

LIMIT = 10
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def client(replicas: Fleet) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=replicas.url, timeout=60) as found:
        yield found


@pytest.fixture(scope="module")
def strict(replicas: Fleet) -> Iterator[httpx.Client]:
    """Another proxy before the same replicas, with a limit, which tells clients apart by their keys."""
    name = f"{replicas.project}-proxy-strict"
    settings = ("-e", f"MASKSEMBLES_RATE_LIMIT={LIMIT}", "-e", "MASKSEMBLES_KEYS=some")
    network = f"{replicas.project}_default"
    docker("run", "--detach", "--name", name, "--network", network, *settings, "masksembles-proxy")
    try:
        with httpx.Client(base_url=f"http://{replicas.address(name)}:8000", timeout=60) as found:
            until(lambda: found.get("/health/ready").status_code == 200)
            yield found
    finally:
        docker("rm", "--force", name)


def rows(count: int) -> dict[str, Any]:
    return {"model": "digits", "inputs": np.full((count, 1, 8, 8), 0.123456789).tolist(), "outputs": ["entropy"]}


def test_large_bodies_pass_and_larger_ones_get_the_service_s_refusal(client: httpx.Client) -> None:
    assert len(client.post("/predict", json=rows(1024)).json()["predictions"]) == 1024  # 0.9 MB, beyond a buffer
    refused = client.post("/predict", content=b" " * (16 * 2**20 + 1), headers={"Content-Type": "application/json"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")


def test_heads_up_to_the_service_s_limits_pass(client: httpx.Client) -> None:
    assert client.post("/predict", json=rows(1), headers={"X-Long": "x" * 60_000}).status_code == 200
    refused = client.post("/predict", json=rows(1), headers={f"X-{at}": "x" for at in range(270)})
    assert (refused.status_code, refused.json()["error"]["code"]) == (431, "headers_too_large")


def test_id_and_trace_pass(client: httpx.Client) -> None:
    headers = {"X-Request-ID": "mine-1", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    answer = client.post("/predict", json=rows(1), headers=headers)
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert answer.headers["traceparent"].startswith(f"00-{TRACE}-")
    wrong = client.post("/predict", json={}, headers={"X-Request-ID": 'a"b'})
    assert wrong.json()["error"]["request_id"] == wrong.headers["X-Request-ID"]


def test_every_replica_is_asked(client: httpx.Client, replicas: Fleet) -> None:
    for _ in range(30):
        httpx.post(f"{replicas.url}/predict", json=rows(1)).raise_for_status()
    for name in replicas.replicas():
        assert 'masksembles_requests_total{model="digits"' in replicas.replica_metrics(name)
    assert 'haproxy_backend_active_servers{proxy="replicas"} 3' in replicas.proxy_metrics()


@pytest.mark.parametrize("path", ["/models/digits/load", "/models/digits/unl%6Fad"])
def test_what_one_replica_would_do_alone_is_refused(client: httpx.Client, path: str) -> None:
    refused = client.post(path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "admin_disabled")
    assert isinstance(client.post(f"/v2/repository{path}").json()["error"], str)


@pytest.mark.parametrize("file", ["haproxy/replicas.cfg", "systemd/replicas.cfg"])
def test_haproxy_agrees(file: str) -> None:
    mounts = [f"{ROOT}/docker/haproxy/haproxy.cfg:/c/haproxy.cfg:ro", f"{ROOT}/docker/{file}:/c/replicas.cfg:ro"]
    options = ("--rm", "-e", "MASKSEMBLES_RATE_LIMIT=5", "-v", mounts[0], "-v", mounts[1])
    assert docker("run", *options, "masksembles-proxy", "haproxy", "-c", "-q", "-f", "/c") == ""


def test_a_rate_that_is_no_whole_number_is_refused_at_the_start() -> None:
    options = ("--rm", "-e", "MASKSEMBLES_RATE_LIMIT=0.5")
    said = docker("run", *options, "masksembles-proxy", "haproxy", "-c", "-f", "/etc/haproxy", check=False)
    assert "expects an integer" in said


def test_metrics_of_any_replica_are_refused(client: httpx.Client) -> None:
    refused = client.get("/metrics")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


def test_a_rate_is_that_of_a_key_at_all_replicas_together(strict: httpx.Client) -> None:
    def ask(**headers: str) -> httpx.Response:
        return strict.get("/models", headers=headers)

    began = time.monotonic()
    answers = [ask(**{"X-API-Key": "one"}) for _ in range(3 * LIMIT)]
    seconds = time.monotonic() - began
    counts = Counter(answer.status_code for answer in answers)
    assert LIMIT <= counts[200] <= LIMIT * (2 + seconds)
    assert counts[429] == len(answers) - counts[200] > 0
    last = next(answer for answer in answers if answer.status_code == 429)
    assert last.json()["error"]["code"] == "rate_limited"
    assert last.headers["Retry-After"] == "1"
    assert ask(Authorization="Bearer one").status_code == 429  # the same key
    assert ask(Authorization="Bearer \tone").status_code == 429  # which the service takes for it, too
    assert isinstance(strict.get("/v2/models/digits", headers={"X-API-Key": "one"}).json()["error"], str)
    assert ask(**{"X-API-Key": "two"}).status_code == 200
    assert ask().status_code == 200  # by its address
    assert strict.get("/health/ready", headers={"X-API-Key": "one"}).status_code == 200
    until(lambda: ask(**{"X-API-Key": "one"}).status_code == 200, 10)
