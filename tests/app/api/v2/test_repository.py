"""The extensions around inference: the model repository, statistics, and configuration."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.api.v2.protocol import binary_tensor, error_of, post, read, strict, tensor
from tests.serving import serving

ASKED = {"inputs": [tensor("input", np.full((1, 6), 0.5, np.float32))]}
TRUNCATED = "not an ONNX file, or truncated"


@pytest.fixture(scope="module")
def counting(tiny_repository: Path) -> Iterator[httpx.Client]:
    """Counts what the tests of this module send, and nothing else."""
    with serving(tiny_repository, max_delay_ms=0.5, max_rows=300) as client:
        yield client


def index(client: httpx.Client, content: bytes = b"") -> Any:
    response = client.post("/v2/repository/index", content=content)
    assert response.status_code == 200, response.text
    return strict(response.content)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"ready": false}', b'{"ready": false, "more": [1]}'])
def test_the_index_has_every_version_with_its_state_and_why(client: httpx.Client, content: bytes) -> None:
    *ready, refused = index(client, content)
    assert ready == [{"name": name, "version": "1", "state": "READY"} for name in ("bytes", "digits", "tiny")]
    assert refused.pop("reason").startswith(TRUNCATED)
    assert refused == {"name": "tiny", "version": "2", "state": "UNAVAILABLE"}


def test_the_index_of_what_is_ready(client: httpx.Client) -> None:
    found = index(client, b'{"ready": true}')
    assert [(entry["name"], entry["version"]) for entry in found] == [("bytes", "1"), ("digits", "1"), ("tiny", "1")]


@pytest.mark.parametrize(
    "content",
    [b" \n", b"[]", b"null", b'"ready"', b'{"ready": 1}', b'{"ready": "true"}', b"{", b"\xff", b"[" * 100_000],
)
def test_a_bad_request_for_the_index_is_refused(client: httpx.Client, content: bytes) -> None:
    response = client.post("/v2/repository/index", content=content)
    assert response.status_code == 400, response.text
    error_of(response)
    assert index(client)


def test_a_superseded_version_is_unavailable(repository: Path) -> None:
    shutil.copytree(repository / "tiny" / "1", repository / "tiny" / "3")
    with serving(repository) as client:
        assert index(client) == [
            {"name": "tiny", "version": "1", "state": "UNAVAILABLE", "reason": "standby"},
            {"name": "tiny", "version": "3", "state": "READY"},
        ]
        assert strict(client.get("/v2/models/tiny").content)["versions"] == ["3"]
        assert client.get("/v2/models/tiny/versions/3/ready").status_code == 200
        assert client.get("/v2/models/tiny/versions/1").status_code == 404


def test_kept_versions_answer_those_who_name_them(repository: Path) -> None:
    shutil.copytree(repository / "tiny" / "1", repository / "tiny" / "3")
    with serving(repository, keep_versions=1) as client:
        assert [entry["state"] for entry in index(client)] == ["READY", "READY"]
        assert strict(client.get("/v2/models/tiny").content)["versions"] == ["1", "3"]
        assert read(post(client, "tiny", ASKED))[0]["model_version"] == "3"
        assert read(post(client, "tiny/versions/1", ASKED))[0]["model_version"] == "1"
        stats = strict(client.get("/v2/models/tiny/versions/1/stats").content)["model_stats"]
        assert [(entry["version"], entry["inference_count"]) for entry in stats] == [("1", 1)]
        assert len(strict(client.get("/v2/models/stats").content)["model_stats"]) == 2


def test_unload_and_load(administered: httpx.Client, repository: Path) -> None:
    response = administered.post("/v2/repository/models/tiny/unload")
    assert (response.status_code, response.content) == (200, b"")
    assert index(administered) == [{"name": "tiny", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}]
    assert index(administered, b'{"ready": true}') == []
    ready = administered.get("/v2/models/tiny/ready")
    assert (ready.status_code, strict(ready.content)) == (503, {"name": "tiny", "ready": False})
    assert administered.get("/v2/health/ready").status_code == 503
    assert administered.get("/v2/health/live").status_code == 200
    for response in (administered.get("/v2/models/tiny"), post(administered, "tiny", ASKED)):
        assert response.status_code == 404
        assert "no model 'tiny' is served" in error_of(response)
    shutil.copytree(repository / "tiny" / "1", repository / "tiny" / "2")
    response = administered.post("/v2/repository/models/tiny/load", content=b"{}")
    assert (response.status_code, response.content) == (200, b"")
    assert read(post(administered, "tiny", ASKED))[0]["model_version"] == "2"
    assert administered.get("/v2/models/tiny/ready").status_code == 200
    assert administered.get("/v2/health/ready").status_code == 200


def test_unload_takes_the_parameter_that_clients_send(administered: httpx.Client) -> None:
    for flag in (b"true", b"false"):
        content = b'{"parameters": {"unload_dependents": %s}}' % flag
        assert administered.post("/v2/repository/models/tiny/unload", content=content).status_code == 200
        assert administered.get("/v2/models/tiny/ready").status_code == 503
        assert administered.post("/v2/repository/models/tiny/load", content=b'{"parameters": {}}').status_code == 200
        assert administered.get("/v2/models/tiny/ready").status_code == 200


def test_what_cannot_be_loaded_is_said(administered: httpx.Client, repository: Path) -> None:
    for action in ("load", "unload"):
        response = administered.post(f"/v2/repository/models/dogs/{action}")
        assert response.status_code == 404
        assert "dogs" in error_of(response)
    administered.post("/v2/repository/models/tiny/unload")
    (repository / "tiny" / "1" / "model.onnx").write_bytes(b"damaged")
    response = administered.post("/v2/repository/models/tiny/load")
    assert response.status_code == 409
    assert TRUNCATED in error_of(response)


def test_models_come_from_the_store_only(administered: httpx.Client) -> None:
    for content in (
        b'{"parameters": {"config": "{}"}}',
        b'{"parameters": {"file:1/model.onnx": "QUFB"}}',
        b'{"parameters": {"config": "{}", "file:../../1/model.onnx": "QUFB"}}',
        b'{"parameters": []}',
        b'{"parameters": "config"}',
        b"[]",
        b"{",
        b"\xff",
    ):
        response = administered.post("/v2/repository/models/tiny/load", content=content)
        assert response.status_code == 400, (content, response.text)
        error_of(response)
    assert [entry["state"] for entry in index(administered)] == ["READY"]


@pytest.mark.parametrize("action", ["load", "unload"])
def test_it_is_off_without_the_setting(client: httpx.Client, action: str) -> None:
    for name in ("tiny", "dogs"):
        response = client.post(f"/v2/repository/models/{name}/{action}", content=b'{"parameters": {"config": "{}"}}')
        assert response.status_code == 403
        assert "MASKSEMBLES_ENABLE_ADMIN" in error_of(response)
    read(post(client, "tiny", ASKED))


def statistics(client: httpx.Client, path: str = "/v2/models/tiny/stats") -> dict[str, Any]:
    (found,) = strict(client.get(path).raise_for_status().content)["model_stats"]
    return found


def counts(found: dict[str, Any], name: str) -> tuple[int, int]:
    return found["inference_stats"][name]["count"], found["inference_stats"][name]["ns"]


def test_statistics_start_with_nothing_and_count_what_is_sent(tiny_repository: Path) -> None:
    none = {"count": 0, "ns": 0}
    names = (
        "success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss",
    )  # fmt: skip
    with serving(tiny_repository, max_delay_ms=0.5, max_rows=300) as client:
        assert statistics(client) == {
            "name": "tiny",
            "version": "1",
            "last_inference": 0,
            "inference_count": 0,
            "execution_count": 0,
            "inference_stats": dict.fromkeys(names, none),
            "batch_stats": [],
            "memory_usage": [],
        }
        began = time.time()
        for _ in range(3):
            read(post(client, "tiny", ASKED))
        described, blob = binary_tensor("input", np.zeros((5, 6), np.float32))
        for _ in range(2):
            read(post(client, "tiny/versions/1", {"inputs": [described]}, blob))
        found = statistics(client)
        assert 1000 * began - 1 <= found["last_inference"] <= 1000 * time.time() + 1
        assert (found["inference_count"], found["execution_count"]) == (13, 5)
        for name in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
            count, ns = counts(found, name)
            assert count == 5
            assert 0 < ns < 1e9 * (time.time() - began)
        parts = sum(counts(found, name)[1] for name in ("queue", "compute_input", "compute_infer", "compute_output"))
        assert parts <= counts(found, "success")[1]
        for name in ("fail", "cache_hit", "cache_miss"):
            assert counts(found, name) == (0, 0)
        assert [(batch["batch_size"], batch["compute_infer"]["count"]) for batch in found["batch_stats"]] == [
            (1, 3),
            (5, 2),
        ]
        spent = sum(batch["compute_infer"]["ns"] for batch in found["batch_stats"])
        assert abs(spent - counts(found, "compute_infer")[1]) <= 2


def test_failures_are_counted_apart(counting: httpx.Client) -> None:
    before = statistics(counting)
    for body in (b"{", b"{}", b"[]"):
        assert counting.post("/v2/models/tiny/infer", content=body).status_code == 400
    assert counting.post("/v2/models/cats/infer", content=b"{}").status_code == 404
    assert counting.post("/v2/models/tiny/versions/9/infer", content=b"{}").status_code == 404
    after = statistics(counting)
    assert counts(after, "fail")[0] - counts(before, "fail")[0] == 3
    assert counts(after, "fail")[1] > counts(before, "fail")[1]
    before["inference_stats"].pop("fail")
    after["inference_stats"].pop("fail")
    assert after == before


def test_predict_counts_too(counting: httpx.Client) -> None:
    before = statistics(counting)
    counting.post("/predict", json={"inputs": [[0.5] * 6] * 2}).raise_for_status()
    after = statistics(counting)
    assert after["inference_count"] - before["inference_count"] == 2
    assert counts(after, "success")[0] - counts(before, "success")[0] == 1


def test_a_request_over_several_batches_is_one_success(counting: httpx.Client) -> None:
    before = statistics(counting)
    read(post(counting, "tiny", {"inputs": [tensor("input", np.zeros((200, 6), np.float32))]}))
    after = statistics(counting)
    assert after["inference_count"] - before["inference_count"] == 200
    assert after["execution_count"] - before["execution_count"] >= 4  # of at most 64 rows
    rows = [batch["batch_size"] * batch["compute_infer"]["count"] for batch in after["batch_stats"]]
    assert sum(rows) == after["inference_count"]
    assert max(batch["batch_size"] for batch in after["batch_stats"]) <= 64
    for name in ("success", "queue", "compute_input", "compute_output"):
        assert counts(after, name)[0] - counts(before, name)[0] == 1


def test_statistics_are_the_same_by_every_path(counting: httpx.Client) -> None:
    expected = statistics(counting)
    assert statistics(counting, "/v2/models/stats") == expected
    assert statistics(counting, "/v2/models/tiny/versions/1/stats") == expected


@pytest.mark.parametrize("path", ["tiny", "tiny/versions/1"])
def test_configuration(counting: httpx.Client, path: str) -> None:
    shapes = {"probabilities": [3], "submodels": [3, 3], "logits": [3, 3]}
    names = [
        "prediction", "probabilities", "submodels", "entropy", "expected_entropy", "mutual_information", "energy",
        "logits",
    ]  # fmt: skip
    assert strict(counting.get(f"/v2/models/{path}/config").content) == {
        "name": "tiny",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "max_batch_size": 300,
        "input": [{"name": "input", "data_type": "TYPE_FP32", "dims": [6]}],
        "output": [
            {
                "name": name,
                "data_type": "TYPE_INT64" if name == "prediction" else "TYPE_FP32",
                "dims": shapes.get(name, []),
            }
            for name in names
        ],
        "dynamic_batching": {"max_queue_delay_microseconds": 500},
    }


@pytest.mark.parametrize(
    "path", ["cats/stats", "cats/config", "tiny/versions/9/stats", "tiny/versions/9/config", "stats/config"]
)
def test_what_is_not_there_has_neither(counting: httpx.Client, path: str) -> None:
    response = counting.get(f"/v2/models/{path}")
    assert response.status_code == 404
    error_of(response)
