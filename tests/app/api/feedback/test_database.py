"""Feedback of replicas with one database: here two services in threads; tests/e2e/test_field.py has processes."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from sqlalchemy import inspect, select

from app.contract.field_database import answers, connect
from tests import artefacts, dense_graphs, graphs
from tests.app.api.feedback.test_endpoint import SECRET, predictions, send
from tests.pictures import digits
from tests.serving import serving


def kept(url: Path, rows: int) -> list[Any]:
    """The rows of the database, once there are so many."""
    engine = connect(str(url))
    until = time.monotonic() + 20
    while True:
        with engine.connect() as connection:
            found = list(connection.execute(select(answers))) if inspect(engine).has_table(answers.name) else []
        if len(found) >= rows or time.monotonic() > until:
            engine.dispose()
            return found
        time.sleep(0.05)


def test_a_receipt_counts_once_whichever_replica_it_comes_to(digits_repository: Path, tmp_path: Path) -> None:
    shared = {"feedback_secret": SECRET, "feedback_url": str(tmp_path / "a.db")}
    with serving(digits_repository, **shared) as first, serving(digits_repository, **shared) as second:
        rows = [(row["receipt"], row["label"]) for row in predictions(first, 20)]
        assert send(first, *rows[:12]).json() == {"counted": 12, "repeated": 0, "remembered_by": "database"}
        assert send(second, *rows).json() == {"counted": 8, "repeated": 12, "remembered_by": "database"}
        quality = [client.get("/models/digits/quality").json() for client in (first, second)]
    assert [(one["remembered_by"], one["versions"][0]["heads"][0]["rows"]) for one in quality] == [
        ("database", 12),
        ("database", 8),
    ]
    with serving(digits_repository, **shared) as restarted:
        assert send(restarted, *rows).json() == {"counted": 0, "repeated": 20, "remembered_by": "database"}


def test_logits_are_kept_of_rows_with_a_receipt_alone(digits_repository: Path, tmp_path: Path) -> None:
    url = tmp_path / "a.db"
    with serving(digits_repository, feedback_secret=SECRET, feedback_url=str(url)) as client:
        predictions(client, 3, outputs=["prediction"])
        (answer,) = predictions(client, 1, outputs=["receipt", "logits", "decision"])
        assert set(predictions(client, 1, outputs=["receipt"])[0]) == {"receipt"}
        first, second = sorted(kept(url, 2), key=lambda row: row.time)
        metrics = client.get("/metrics").text
    logits = np.array(answer["logits"], np.float32).tobytes()
    assert logits in (first.outputs, second.outputs)
    assert {first.action, second.action} == {answer["decision"]["action"]}
    assert 'masksembles_feedback_kept_rows_total{outcome="stored"} 2.0' in metrics
    assert digits()[0].tobytes() not in url.read_bytes()  # inputs never are


def test_a_database_that_is_not_there_costs_no_answer(digits_repository: Path, tmp_path: Path) -> None:
    url = tmp_path / "missing" / "a.db"
    with serving(digits_repository, feedback_secret=SECRET, feedback_url=str(url)) as client:
        rows = [(row["receipt"], row["label"]) for row in predictions(client)]
        refused = send(client, *rows)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "feedback_unavailable")
        assert int(refused.headers["retry-after"]) > 0
        assert [one["heads"] for one in client.get("/models/digits/quality").json()["versions"]] == [[]]
        assert "masksembles_feedback_database_failing 1.0" in client.get("/metrics").text
        url.parent.mkdir()
        assert send(client, *rows).json()["counted"] == 3


def test_of_regressors_the_submodels_are_kept(tmp_path: Path) -> None:
    models = {"both": dense_graphs.two_heads(), "prices": graphs.regressor(aleatoric=True)}
    inputs: dict[str, Any] = {
        "both": {"picture": [[[[1, 2], [3, 4]]]], "table": [[1, 2, 3]]},
        "prices": {models["prices"][1].given.name: [[0.1, 0.2, 0.3]]},
    }
    url = tmp_path / "a.db"
    for name, made in models.items():
        artefacts.write(tmp_path / "repository", name, *made)
    with serving(tmp_path / "repository", feedback_secret=SECRET, feedback_url=str(url)) as client:
        for name, given in inputs.items():
            body = {"model": name, "inputs": given if name == "both" else given["input"], "outputs": ["receipt"]}
            client.post("/predict", json=body).raise_for_status()
        found = {(row.model, row.head): np.frombuffer(row.outputs, "<f4") for row in kept(url, 3)}
    assert found.keys() == {("prices", ""), ("both", "kind"), ("both", "price")}
    for (model, head), outputs in (
        (("prices", ""), ["submodels", "submodel_variances"]),
        (("both", "kind"), ["kind.logits"]),
        (("both", "price"), ["price.submodels"]),
    ):
        graph, contract = models[model]
        feeds = {one.name: np.array(inputs[model][one.name], one.dtype) for one in contract.inputs}
        session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        expected = np.concatenate([np.ravel(values) for values in session.run(outputs, feeds)])
        np.testing.assert_array_equal(found[model, head], expected)
