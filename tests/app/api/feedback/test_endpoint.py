import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import artefacts, dense_graphs, graphs
from tests.pictures import digits
from tests.serving import serving

SECRET = "a secret of 32 characters or more"
OUTPUTS = ["prediction", "probabilities", "prediction_set", "decision", "receipt"]


@pytest.fixture(scope="module")
def client(digits_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with serving(digits_repository, feedback_secret=SECRET, max_rows=100) as opened:
        yield opened


def predictions(client: httpx.Client, rows: int = 3, **asked: Any) -> list[dict[str, Any]]:
    body = {"inputs": digits()[:rows].tolist(), "outputs": OUTPUTS, **asked}
    found: list[dict[str, Any]] = client.post("/predict", json=body).raise_for_status().json()["predictions"]
    return found


def send(client: httpx.Client, *given: tuple[str, Any]) -> httpx.Response:
    return client.post("/feedback", json={"feedback": [{"receipt": text, "truth": truth} for text, truth in given]})


def test_a_truth_comes_back_once(client: httpx.Client) -> None:
    first, second, third = predictions(client)
    answer = send(client, (first["receipt"], first["label"]), (second["receipt"], second["index"]))
    assert answer.json() == {"counted": 2, "repeated": 0, "remembered_by": "process"}
    again = "".join(json.dumps({"receipt": one["receipt"], "truth": one["index"]}) + "\n" for one in (third, first))
    headers = {"Content-Type": "application/x-ndjson"}
    assert client.post("/feedback", content=again, headers=headers).json()["counted"] == 1
    quality = client.get("/models/digits/quality").json()
    assert quality["versions"][0]["heads"][0]["rows"] == 3
    assert quality["versions"][0]["heads"][0]["accuracy"]["value"] == 1
    assert 'masksembles_feedback_repeats_total{head="",model="digits",version="1"} 1.0' in client.get("/metrics").text


def test_only_who_asks_gets_receipts(client: httpx.Client) -> None:
    body = {"inputs": digits()[:1].tolist()}
    assert "receipt" not in client.post("/predict", json=body).json()["predictions"][0]
    alone = predictions(client, outputs=["receipt"])
    assert [set(row) for row in alone] == [{"receipt"}] * 3


def test_a_receipt_counts_no_decision(client: httpx.Client) -> None:
    def decided() -> list[str]:
        return [
            line for line in client.get("/metrics").text.splitlines() if line.startswith("masksembles_decisions_total")
        ]

    before = decided()
    predictions(client, outputs=["receipt"])
    assert decided() == before


def test_arrays_hold_receipts_too(client: httpx.Client) -> None:
    stream = io.BytesIO()
    np.save(stream, digits()[:2])
    headers = {"Content-Type": "application/x-npy", "Accept": "application/x-npz"}
    answer = client.post("/predict?outputs=prediction,receipt", content=stream.getvalue(), headers=headers)
    arrays = np.load(io.BytesIO(answer.raise_for_status().content))
    given = zip(arrays["receipt"].tolist(), arrays["prediction"].tolist())
    assert send(client, *given).json()["counted"] == 2


def test_one_bad_row_fails_all(client: httpx.Client) -> None:
    first, second, _ = predictions(client)
    forged = second["receipt"][:-1] + ("A" if second["receipt"][-1] != "A" else "Q")
    for bad, truth, field in (
        (forged, 1, "feedback[1].receipt"),
        (second["receipt"], "ten", "feedback[1].truth"),
        (second["receipt"], 10, "feedback[1].truth"),
        (second["receipt"], [1.0], "feedback[1].truth"),
    ):
        answer = send(client, (first["receipt"], 1), (bad, truth))
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    assert send(client, (first["receipt"], 1), (second["receipt"], 1)).json()["counted"] == 2


def test_a_foreign_receipt_is_refused(client: httpx.Client, tiny_repository: Path) -> None:
    with serving(tiny_repository, feedback_secret=SECRET) as other:
        body = {"model": "tiny", "inputs": np.zeros((1, *_row(other))).tolist(), "outputs": ["receipt"]}
        (row,) = other.post("/predict", json=body).raise_for_status().json()["predictions"]
        assert send(other, (row["receipt"], 0)).json()["counted"] == 1
    answer = send(client, (row["receipt"], 0))
    assert answer.status_code == 422
    assert "tiny:1 is not in the repository" in answer.json()["error"]["message"]


def _row(client: httpx.Client) -> list[int]:
    shape: list[int] = client.get("/models/tiny").json()["inputs"][0]["shape"]
    return shape[1:]


def test_bad_requests(client: httpx.Client) -> None:
    assert client.post("/feedback", content=b"{}", headers={"Content-Type": "text/csv"}).status_code == 415
    assert client.post("/feedback", json={}).status_code == 422
    assert client.post("/feedback?a=1", json={}).json()["error"]["field"] == "a"
    assert client.get("/models/cats/quality").json()["error"]["code"] == "unknown_model"
    many = [("a", 1)] * 101
    assert "1 to 100 rows" in send(client, *many).json()["error"]["message"]


def test_without_a_secret_there_is_no_feedback(digits_repository: Path) -> None:
    with serving(digits_repository) as client:
        body = {"inputs": digits()[:1].tolist(), "outputs": ["receipt"]}
        error = client.post("/predict", json=body).json()["error"]
        assert (error["code"], error["field"]) == ("invalid_input", "outputs")
        assert "MASKSEMBLES_FEEDBACK_SECRET" in error["message"]
        answer = send(client, ("a", 1))
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "feedback_disabled")
        assert client.get("/models/digits/quality").json()["versions"][0]["heads"] == []


def test_drift_needs_no_truths(digits_repository: Path) -> None:
    with serving(digits_repository) as client:
        assert client.get("/models/digits/quality").json()["versions"] == []  # nobody asked
        for _ in range(20):
            predictions(client, 1, inputs=np.full_like(digits()[:100], 0.5).tolist(), outputs=["entropy"])
        (version,) = client.get("/models/digits/quality").json()["versions"]
        drift = version["drift"]
        assert (version["version"], version["heads"], drift["alarm"]) == (1, [], True)
        assert drift["evidence"] == sum(score["evidence"] for score in drift["scores"]) >= 200
        assert [score["score"] for score in drift["scores"]] == ["entropy", "mutual_information"]
        assert all(score["rows"] == 2000 and score["distance"] > 0.5 for score in drift["scores"])


def test_a_regressor_takes_numbers(tmp_path: Path) -> None:
    artefacts.write(tmp_path, "prices", *graphs.regressor(aleatoric=True))
    with serving(tmp_path, feedback_secret=SECRET) as client:
        body = {"inputs": [[0.1, 0.2, 0.3]], "outputs": ["prediction", "receipt"]}
        (row,) = client.post("/predict", json=body).raise_for_status().json()["predictions"]
        assert send(client, (row["receipt"], row["prediction"])).json()["counted"] == 1
        (head,) = client.get("/models/prices/quality").json()["versions"][0]["heads"]
        assert head["losses"]["squared error price"]["value"] == pytest.approx(0, abs=1e-9)
        assert all(one["failed"]["value"] == 0 for one in head["promises"])
        field = send(client, (row["receipt"], 1.0)).json()["error"]["field"]
        assert field == "feedback[0].truth"


def test_heads_have_receipts_of_their_own(tmp_path: Path) -> None:
    artefacts.write(tmp_path, "both", *dense_graphs.two_heads())
    inputs = {"picture": [[[[1, 2], [3, 4]]]], "table": [[1, 2, 3]]}
    with serving(tmp_path, feedback_secret=SECRET) as client:
        body = {"inputs": inputs, "outputs": ["prediction", "receipt"]}
        (row,) = client.post("/predict", json=body).raise_for_status().json()["predictions"]
        kind, price = row["heads"]["kind"], row["heads"]["price"]
        given = (kind["receipt"], kind["label"]), (price["receipt"], price["prediction"][0])
        assert send(client, *given).json()["counted"] == 2
        heads = client.get("/models/both/quality").json()["versions"][0]["heads"]
        assert [(head["name"], head["rows"]) for head in heads] == [("kind", 1), ("price", 1)]
        assert set(heads[1]["losses"]) == {"squared error price"}  # no variance is predicted, so no density


@pytest.mark.parametrize("outputs", [["receipt"], ["shares", "receipt"]])
def test_a_dense_head_has_none(tmp_path: Path, outputs: list[str]) -> None:
    artefacts.write(tmp_path, "dense", *dense_graphs.segmentation())
    with serving(tmp_path, feedback_secret=SECRET) as client:
        shape = client.get("/models/dense").json()["inputs"][0]["shape"]
        inputs = np.zeros([size if isinstance(size, int) else 8 for size in shape], int)[:1].tolist()
        error = client.post("/predict", json={"inputs": inputs, "outputs": outputs}).json()["error"]
        assert (error["field"], error["message"]) == ("outputs", "a head that answers for each cell has no receipts")


def test_labels_that_are_on_or_off_have_none(tmp_path: Path) -> None:
    artefacts.write(tmp_path, "fruit", *graphs.multilabel())
    with serving(tmp_path, feedback_secret=SECRET) as client:
        shape = client.get("/models/fruit").json()["inputs"][0]["shape"][1:]
        body = {"inputs": np.zeros((1, *shape)).tolist(), "outputs": ["receipt"]}
        assert client.post("/predict", json=body).json()["error"]["message"] == "a multilabel head has no receipts"
