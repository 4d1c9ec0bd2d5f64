"""A real Prometheus with our configuration reads a real service: every query has an answer, and the right alerts fire.

Ready, up and stuck devices are what promtool's tests are for (alerts.test.yml): this service is well.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml

from app.auth import keys
from tests import artefacts
from tests.monitoring.dashboard import filled, queries
from tests.monitoring.debian import program
from tests.monitoring.test_rules import FOLDER
from tests.pictures import REQUEST
from tests.serving import PATIENCE, ROOT, VERSIONS, as_process, free_port

ALERTS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
FIRING = {
    "MasksemblesOverload", "MasksemblesErrors", "MasksemblesDrift", "MasksemblesPromiseBroken",
    "MasksemblesVersionRejected",
}  # fmt: skip
OUTCOMES = {"ok", "deadline_exceeded", "output_not_finite", "invalid_input", "unknown_model"}
GROWN = 'rate(masksembles_requests_total{outcome="output_not_finite"}[5m]) > 0'
COUNTED = "increase(masksembles_feedback_rows_total[5m]) > 0"
"""Truths come once: only a counter that was there before them, at 0, shows this."""
WITHOUT_ANSWER = {"Restarts": "nothing starts this service again"}
"""Queries that have none here, and why."""

pytestmark = pytest.mark.slow


@contextmanager
def prometheus(folder: Path, target: str, key: str) -> Iterator[httpx.Client]:
    """Prometheus with our configuration: it reads the target with a key, each second, and waits before no alert."""
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    scraped, _ = config["scrape_configs"]
    config["scrape_configs"] = [scraped]
    del scraped["dns_sd_configs"]
    scraped["static_configs"] = [{"targets": [target]}]
    scraped["authorization"]["credentials_file"] = "key"
    (folder / "key").write_text(key + "\n")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    for name in config["rule_files"]:
        (folder / name).write_text(re.sub(r"\n +for: .*", "", (FOLDER / name).read_text()))
    port = free_port()
    command = [
        program("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE)


def results(client: httpx.Client, expression: str) -> list[dict[str, Any]]:
    """What Prometheus finds now; NaN, which a ratio of nothing is, is no finding."""
    answer = client.get("/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", answer
    return [found for found in answer["data"]["result"] if found["value"][1] != "NaN"]


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it comes to hold before patience ends."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if holds():
                return True
        except (httpx.ConnectError, json.JSONDecodeError):
            pass  # while Prometheus starts, it answers with a sentence
        time.sleep(0.2)
    return False


class Callers:
    """All that may become of a request, and a repository in which versions come and one is no model."""

    def __init__(self, service: httpx.Client, repository: Path) -> None:
        self._service = service
        self._repository = repository

    def ask(self) -> set[str]:
        """Sends a round of requests; returns what became of them."""
        coat = {**json.loads(REQUEST.read_bytes()), "model": "fashion-mnist"}
        noise = {"model": "fashion-mnist", "inputs": np.random.default_rng(0).random((64, 1, 28, 28)).round(2).tolist()}
        many = {"model": "fashion-mnist", "inputs": coat["inputs"] * 300}
        late = {"model": "digits", "inputs": np.zeros((256, 1, 8, 8)).tolist()}
        huge = {"model": "tiny", "inputs": [[3e38, -3e38, 3e38, -3e38, 3e38, -3e38]]}
        asked = [
            self._post(coat),
            self._post(noise),
            self._post(many),
            self._post(late),
            self._post(late, **{"X-Request-Timeout-Ms": "1"}),
            self._post(huge),
            self._post({"model": "digits", "inputs": [1]}),
            self._post({"model": "cats", "inputs": [[1]]}),
        ]
        return {answer.json().get("error", {"code": "ok"})["code"] for answer in asked}

    def tell(self) -> None:
        """Says of answers to noise that what seemed the least probable was true."""
        noise = {"model": "fashion-mnist", "inputs": np.random.default_rng(1).random((64, 1, 28, 28)).round(2).tolist()}
        answer = self._post({**noise, "outputs": ["probabilities", "decision", "receipt"]}).raise_for_status()
        rows = [
            {"receipt": row["receipt"], "truth": int(np.argmin(row["probabilities"]))}
            for row in answer.json()["predictions"]
        ]
        self._service.post("/feedback", json={"feedback": rows}).raise_for_status()

    def _post(self, body: dict[str, Any], **headers: str) -> httpx.Response:
        return self._service.post("/predict", json=body, headers=headers)

    def publish(self) -> None:
        """A new version of one model, and one of another that is none."""
        artefacts.write(self._repository, "digits", *artefacts.read(self._repository, "digits", 1))
        broken = self._repository / "tiny" / "2"
        broken.mkdir()
        (broken / "model.onnx").write_bytes(b"no model")


@pytest.fixture(scope="module")
def watched(
    tmp_path_factory: pytest.TempPathFactory, digits_repository: Path, tiny_repository: Path
) -> Iterator[httpx.Client]:
    """Prometheus, which has read the service while all that the dashboard tells apart grew."""
    repository, folder = tmp_path_factory.mktemp("repository"), tmp_path_factory.mktemp("prometheus")
    artefacts.write(repository, "digits", *artefacts.read(digits_repository, "digits"))
    artefacts.write(repository, "tiny", *artefacts.read(tiny_repository, "tiny"))
    shipped = artefacts.read(ROOT / "models" / "repository", "fashion-mnist", VERSIONS["fashion-mnist"])
    artefacts.write(repository, "fashion-mnist", *shipped)
    (predict, first), (metrics, second) = keys.make_key("app", "predict"), keys.make_key("prometheus", "metrics")
    settings = {
        "KEYS": f"{first},{second}",
        "POLL_SECONDS": "0.2",
        "FEEDBACK_SECRET": "a secret of 32 characters or more",
    }
    with as_process(repository, **{f"MASKSEMBLES_{name}": value for name, value in settings.items()}) as (service, _):
        service.headers["Authorization"] = f"Bearer {predict}"
        with prometheus(folder, service.base_url.netloc.decode(), metrics) as client:
            assert soon(lambda: bool(results(client, "masksembles_answering_version == 1"))), (
                folder / "log"
            ).read_text()
            callers = Callers(service, repository)
            callers.ask()
            callers.publish()
            callers.tell()
            assert soon(lambda: callers.ask() >= OUTCOMES and bool(results(client, GROWN)))
            assert soon(lambda: bool(results(client, COUNTED)))
            yield client


@pytest.mark.parametrize("title", queries())
def test_a_query_of_the_dashboard_has_an_answer(title: str, watched: httpx.Client) -> None:
    expression = filled(queries()[title], interval="5m")
    if title in WITHOUT_ANSWER:
        assert not results(watched, expression)
    else:
        assert soon(lambda: bool(results(watched, expression)))


@pytest.mark.parametrize("alert", sorted(ALERTS.keys() - {"MasksemblesNoReplica"}))  # there is no proxy here
def test_what_an_alert_compares_is_there(alert: str, watched: httpx.Client) -> None:
    compared = re.sub(r" (==|>=|>) ", r" \1 bool ", ALERTS[alert])
    assert compared != ALERTS[alert]
    assert soon(lambda: bool(results(watched, compared)))


def test_the_right_alerts_fire(watched: httpx.Client) -> None:
    def firing() -> set[str]:
        return {found["metric"]["alertname"] for found in results(watched, 'ALERTS{alertstate="firing"}')}

    assert soon(lambda: firing() == FIRING), firing()
