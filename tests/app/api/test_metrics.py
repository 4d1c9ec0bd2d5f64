from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.app.api.predict.test_endpoint import GOOD, post


def metrics(client: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = client.get("/metrics").raise_for_status()
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(response.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def test_they_count_what_was_sent(client: httpx.Client) -> None:
    before = metrics(client)
    for _ in range(3):
        post(client, {**GOOD, "inputs": [[0.5] * 6] * 7})
    client.post("/predict", json={**GOOD, "inputs": [[0.5] * 5]})
    client.post("/predict", json={"model": "dogs", "inputs": [[1]]})
    client.post("/predict", content=b"{", headers={"content-type": "application/json"})
    after = metrics(client)

    def risen(name: str, **labels: str) -> float:
        key = (f"masksembles_{name}", frozenset(labels.items()))
        return after[key] - before.get(key, 0)

    tiny = {"model": "tiny", "version": "1"}
    assert risen("requests_total", **tiny, outcome="ok") == 3
    assert risen("requests_total", **tiny, outcome="invalid_input") == 1
    assert risen("requests_total", model="", version="", outcome="unknown_model") == 1
    assert risen("requests_total", model="", version="", outcome="malformed_body") == 1
    assert risen("batch_rows_sum", **tiny) == 21
    assert risen("queue_seconds_count", **tiny) == 3
    assert risen("request_seconds_count", **tiny) == 4
    assert after["masksembles_queue_rows", frozenset()] == 0
    assert after["masksembles_ready", frozenset()] == 1
    assert after["masksembles_cpu_fallback", frozenset()] == 1
    (device,) = [dict(labels) for name, labels in after if name == "masksembles_device_info"]
    assert (device["device"], device["provider"]) == ("cpu", "CPUExecutionProvider")


def test_entropy_falls_into_the_deciles_of_the_calibration(client: httpx.Client, folder: Path) -> None:
    contract = client.get("/models/digits/versions/1").json()["contract"]
    edges = contract["heads"][0]["calibration"]["quantiles"]["entropy"][10:100:10]
    answer = post(client, {"model": "digits", "inputs": [[[[0.0] * 8] * 8]], "outputs": ["entropy"]})
    (entropy,) = [prediction["entropy"] for prediction in answer["predictions"]]
    found = metrics(client)
    for edge in edges:
        labels = {"model": "digits", "version": "1", "head": "", "le": repr(edge)}
        count = found["masksembles_entropy_nats_bucket", frozenset(labels.items())]
        assert count >= (entropy <= edge)
    labels = {"model": "digits", "version": "1", "head": ""}
    assert found["masksembles_mutual_information_nats_count", frozenset(labels.items())] >= 1  # though not asked for


def test_what_a_client_sends_makes_no_labels(client: httpx.Client) -> None:
    count = len(metrics(client))
    for at in range(20):
        client.post("/predict", json={"model": f"dog-{at}", "inputs": [[1]]})
        client.get(f"/nowhere/{at}")
    assert len(metrics(client)) <= count + 2
    assert "dog" not in client.get("/metrics").text
