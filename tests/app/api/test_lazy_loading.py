"""Requests while a model is loaded for the first of them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.engine import loader
from app.engine.batcher import Batcher
from app.engine.model import load as load_model
from app.failures import ModelRejected
from tests.app.engine.fakes import until
from tests.serving import open_models, serving

ROWS = {"tiny": [[0.0] * 6], "digits": [[[[0.0] * 8] * 8]], "bytes": [[[[0, 0], [0, 0]]]]}

TENSOR = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 6], "data": [0.0] * 6}]}


def asked(model: str) -> dict[str, Any]:
    return {"model": model, "inputs": ROWS[model]}


def test_a_first_request_waits_and_what_is_loaded_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, free = [], threading.Event()

    def load(name: str, *rest: Any) -> Any:
        begun.append(name)
        if name == "bytes":
            raise ModelRejected("no memory on the device")
        assert name != "tiny" or free.wait(30)
        return load_model(name, *rest)

    monkeypatch.setattr(loader, "load", load)
    models = open_models(folder, load="lazy")
    with (
        serving(folder, models=models) as client,
        ThreadPoolExecutor(20) as threads,
    ):
        assert client.get("/health/ready").json()["models"] == {"bytes": 1, "digits": 1, "tiny": 1}
        before = client.get("/models/tiny").json()
        assert before["heads"][0]["labels"] == ["a", "b", "c"]
        assert before["versions"][0] == {"version": 1, "state": "available", "loaded": False}
        for path in ("", "/ready", "/config", "/stats", "/versions/1"):
            assert client.get(f"/v2/models/tiny{path}").status_code == 200
        assert begun == []
        assert client.post("/predict", json=asked("digits")).status_code == 200

        first = [threads.submit(client.post, "/predict", json=asked("tiny")) for _ in range(20)]
        until(lambda: begun == ["digits", "tiny"])
        late = client.post("/predict", json=asked("tiny"), headers={"X-Request-Timeout-Ms": "20"})
        assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert client.get("/health/ready").status_code == 200
        assert client.post("/predict", json=asked("digits")).status_code == 200
        free.set()
        assert {request.result().status_code for request in first} == {200}
        assert begun == ["digits", "tiny"]
        assert client.get("/models/tiny").json()["versions"][0]["loaded"] is True

        refused = client.post("/predict", json=asked("bytes"))
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_model")
        (version,) = client.get("/models/bytes").json()["versions"]
        assert (version["state"], version["reason"]) == ("rejected", "no memory on the device")
        assert client.post("/v2/models/tiny/infer", json=TENSOR).status_code == 200


@pytest.mark.parametrize(("path", "body"), [("/predict", asked("tiny")), ("/v2/models/tiny/infer", TENSOR)])
def test_rows_may_wait_for_what_loading_left(
    path: str, body: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict, given = Batcher.predict, []

    def slowly(*asked: Any) -> Any:
        time.sleep(0.2)
        return load_model(*asked)

    async def note(batcher: Batcher, model: Any, inputs: Any, outputs: Any, seconds: float, *others: Any) -> Any:
        given.append(seconds)
        return await predict(batcher, model, inputs, outputs, seconds, *others)

    monkeypatch.setattr(loader, "load", slowly)
    monkeypatch.setattr(Batcher, "predict", note)
    with serving(folder, load="lazy") as client:
        for _ in range(2):
            assert client.post(path, json=body, headers={"X-Request-Timeout-Ms": "9000"}).status_code == 200
    first, second = given
    assert 0 < first <= 8.8
    assert second == 9
