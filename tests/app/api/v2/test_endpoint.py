"""Health, metadata and inference of the Open Inference Protocol v2."""

import gzip
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app import __version__
from app.api.middleware import Gateway
from app.engine.session import Session
from tests.app.api.v2.protocol import LENGTH, binary_tensor, error_of, packed, post, read, strict, tensor, write
from tests.app.engine.fakes import until
from tests.pictures import digits
from tests.serving import application, in_thread, open_models, serving

SCORES = ("entropy", "expected_entropy", "mutual_information", "energy")
OUTPUTS = ["prediction", "probabilities", "submodels", *SCORES, "logits"]
ROWS = np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 6)
ASKED = {"inputs": [tensor("input", ROWS)]}

Own = tuple[httpx.Client, Gateway]


@pytest.fixture(scope="module")
def own(tiny_repository: Path) -> Iterator[Own]:
    """An application to reach into; its queue holds one row."""
    models = open_models(tiny_repository)
    models.registry.find("tiny", None).inline_max_rows = 0
    app = application(
        tiny_repository,
        models=models,
        max_queue_rows=1,
        queue_timeout_ms=20_000,
        cors_origins=("https://page.example",),
    )
    with in_thread(app) as client:
        yield client, app


def predicted(client: httpx.Client, model: str, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What POST /predict says of the same rows, by the names of the graph's outputs."""
    body = {"model": model, "inputs": rows.tolist(), "outputs": [*OUTPUTS]}
    predictions = client.post("/predict", json=body).raise_for_status().json()["predictions"]
    found = {
        name: np.array([prediction[name] for prediction in predictions], np.float32)
        for name in ("probabilities", "logits", *SCORES)
    }
    submodels = [[submodel["probabilities"] for submodel in prediction["submodels"]] for prediction in predictions]
    return {
        "prediction": np.array([prediction["index"] for prediction in predictions]),
        "submodels": np.array(submodels, np.float32),
        **found,
    }


def assert_same(found: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    for name, values in found.items():
        assert values.dtype == expected[name].dtype
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_health(client: httpx.Client) -> None:
    for path, body in (("live", {"live": True}), ("ready", {"ready": True})):
        response = client.get(f"/v2/health/{path}")
        assert response.status_code == 200
        assert strict(response.content) == body


def test_a_stopping_service_lives_and_is_not_ready(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    client, app = own
    monkeypatch.setattr(app.services, "stopping", True)
    assert client.get("/v2/health/live").status_code == 200
    ready = client.get("/v2/health/ready")
    assert (ready.status_code, strict(ready.content)) == (503, {"ready": False})
    ready = client.get("/v2/models/tiny/ready")
    assert (ready.status_code, strict(ready.content)) == (503, {"name": "tiny", "ready": False})


def test_a_service_without_models_is_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        assert client.get("/v2/health/live").status_code == 200
        ready = client.get("/v2/health/ready")
        assert (ready.status_code, strict(ready.content)) == (503, {"ready": False})
        assert strict(client.get("/v2/models/stats").content) == {"model_stats": []}
        assert strict(client.post("/v2/repository/index").content) == []


def test_server_metadata(client: httpx.Client) -> None:
    assert strict(client.get("/v2").content) == {
        "name": "masksembles",
        "version": __version__,
        "extensions": [
            "binary_tensor_data",
            "classification",
            "model_repository",
            "statistics",
            "model_configuration",
        ],
    }


@pytest.mark.parametrize("path", ["digits", "digits/versions/1"])
def test_model_metadata(client: httpx.Client, path: str) -> None:
    shapes = {"prediction": [-1], "probabilities": [-1, 10], "submodels": [-1, 4, 10], "logits": [-1, 4, 10]}
    assert strict(client.get(f"/v2/models/{path}").content) == {
        "name": "digits",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
        "outputs": [
            {"name": name, "datatype": "INT64" if name == "prediction" else "FP32", "shape": shapes.get(name, [-1])}
            for name in OUTPUTS
        ],
    }


@pytest.mark.parametrize("model", ["digits", "tiny", "bytes"])
def test_answers_are_what_the_metadata_say(client: httpx.Client, model: str) -> None:
    said = strict(client.get(f"/v2/models/{model}").content)
    (given,) = said["inputs"]
    dtype = {"FP32": np.float32, "UINT8": np.uint8}[given["datatype"]]
    rows = np.zeros([2, *given["shape"][1:]], dtype)
    head, _ = read(post(client, model, {"inputs": [tensor(given["name"], rows)]}))
    answered = [{**output, "shape": [-1, *output["shape"][1:]]} for output in head["outputs"]]
    assert [{key: output[key] for key in ("name", "datatype", "shape")} for output in answered] == said["outputs"]


@pytest.mark.parametrize("path", ["", "/config", "/stats", "/ready"])
def test_what_is_not_there_is_404(client: httpx.Client, path: str) -> None:
    missing = [("cats", "bytes, digits, tiny"), ("tiny/versions/7", "1")]
    if path == "/ready":
        refused = client.get("/v2/models/tiny/versions/2/ready")
        assert (refused.status_code, strict(refused.content)) == (503, {"name": "tiny", "ready": False})
    else:
        missing.append(("tiny/versions/2", "1"))
    for model, there in missing:
        response = client.get(f"/v2/models/{model}{path}")
        assert response.status_code == 404
        assert f"there are: {there}" in error_of(response)


@pytest.mark.parametrize("path", ["tiny", "tiny/versions/1"])
def test_a_model_that_answers_is_ready(client: httpx.Client, path: str) -> None:
    response = client.get(f"/v2/models/{path}/ready")
    assert (response.status_code, strict(response.content)) == (200, {"name": "tiny", "ready": True})


def test_answers_equal_those_of_predict(client: httpx.Client) -> None:
    rows = digits()[:7]
    expected = predicted(client, "digits", rows)
    head, found = read(post(client, "digits", {"inputs": [tensor("input", rows)]}))
    assert (head["model_name"], head["model_version"]) == ("digits", "1")
    assert list(found) == OUTPUTS
    assert_same(found, expected)


def test_many_rows_take_the_fast_way_to_the_same_answers(client: httpx.Client) -> None:
    rows = np.linspace(-2, 2, 500 * 6, dtype=np.float32).reshape(500, 6)
    described, blob = binary_tensor("input", rows)
    _, found = read(post(client, "tiny", {"inputs": [described], "parameters": {"binary_data_output": True}}, blob))
    assert_same(found, predicted(client, "tiny", rows))


def test_values_may_be_flat_or_nested(client: httpx.Client) -> None:
    rows = digits()[:2]
    flat = tensor("input", rows)
    answers = [
        post(client, "digits", {"inputs": [{**flat, "data": data}]}).content for data in (flat["data"], rows.tolist())
    ]
    assert answers[0] == answers[1]


def test_bytes_are_taken_as_such(client: httpx.Client) -> None:
    rows = np.array([[[0, 255], [128, 7]]], np.uint8)
    described, blob = binary_tensor("input", rows)
    assert len(blob) == 4
    expected = predicted(client, "bytes", rows)
    assert_same(read(post(client, "bytes", {"inputs": [described]}, blob))[1], expected)
    assert_same(read(post(client, "bytes", {"inputs": [tensor("input", rows)]}))[1], expected)


def test_only_the_outputs_that_are_asked_for_in_their_order(client: httpx.Client) -> None:
    head, found = read(post(client, "tiny", {**ASKED, "outputs": [{"name": "energy"}, {"name": "prediction"}]}))
    assert list(found) == ["energy", "prediction"]
    assert [output["shape"] for output in head["outputs"]] == [[3], [3]]


@pytest.mark.parametrize("outputs", [{}, {"outputs": []}, {"outputs": None}])
def test_without_outputs_all_are_answered(client: httpx.Client, outputs: dict[str, Any]) -> None:
    assert list(read(post(client, "tiny", {**ASKED, **outputs}))[1]) == OUTPUTS


@pytest.mark.parametrize("sent", ["1", "", 'ü 🦊 " \\ \n', "x" * 256])
def test_the_id_comes_back(client: httpx.Client, sent: str) -> None:
    described, blob = binary_tensor("input", ROWS)
    for parameters in ({}, {"binary_data_output": True}):
        asked = {"id": sent, "inputs": [described], "parameters": parameters}
        assert read(post(client, "tiny", asked, blob))[0]["id"] == sent


def test_without_an_id_none_comes_back(client: httpx.Client) -> None:
    assert "id" not in read(post(client, "tiny", ASKED))[0]


@pytest.mark.parametrize(
    "parameters", [{}, None, {"key1": "value1", "key2": 2, "key3": 1.5, "key4": True}, {"priority": 3}, {"timeout": 0}]
)
def test_parameters_that_mean_nothing_here_change_nothing(client: httpx.Client, parameters: Any) -> None:
    given = {**ASKED["inputs"][0], "parameters": parameters}
    asked = {"inputs": [given], "outputs": [{"name": "energy", "parameters": parameters}], "parameters": parameters}
    expected = post(client, "tiny", {**ASKED, "outputs": [{"name": "energy"}]})
    assert post(client, "tiny", asked).content == expected.content


def test_no_sequence_is_no_error(client: httpx.Client) -> None:
    none = {"sequence_id": 0, "sequence_start": False, "sequence_end": False}
    read(post(client, "tiny", {**ASKED, "parameters": none}))


def test_unknown_fields_and_query_parameters_are_ignored(client: httpx.Client) -> None:
    body, _ = write({**ASKED, "extra": {"deep": [1]}})
    read(client.post("/v2/models/tiny/infer?a=1&b=%2F..&a=2", content=body))
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/tiny", "/v2/models/tiny/ready"):
        assert client.get(f"{path}?test_1=1&test_2=2").content == client.get(path).content


@pytest.mark.parametrize("path", ["tiny", "tiny/versions/1"])
@pytest.mark.parametrize("kind", [None, "application/json", "application/octet-stream", "text/plain"])
def test_the_content_type_of_a_request_does_not_matter(client: httpx.Client, path: str, kind: str | None) -> None:
    described, blob = binary_tensor("input", ROWS)
    headers = {"Content-Type": kind} if kind else {}
    read(post(client, path, {"inputs": [described]}, blob, **headers))
    read(post(client, path, ASKED, **headers))


@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_json_and_binary_say_the_same(client: httpx.Client, data: bool, binary: bool) -> None:
    rows = digits()[:5]
    described, blob = binary_tensor("input", rows) if data else (tensor("input", rows), b"")
    blobs = [blob] if data else []
    response = post(client, "digits", {"inputs": [described], "parameters": {"binary_data_output": binary}}, *blobs)
    assert (LENGTH in response.headers) is binary
    head, found = read(response)
    assert all(("data" in output) is not binary for output in head["outputs"])
    assert_same(found, predicted(client, "digits", rows))


@pytest.mark.parametrize(("default", "own", "expected"), [
    (None, None, False),
    (None, True, True),
    (None, False, False),
    (True, None, True),
    (True, False, False),
    (True, True, True),
    (False, None, False),
    (False, True, True),
    (False, False, False),
])  # fmt: skip
def test_what_an_output_says_goes_before_what_the_request_says(
    client: httpx.Client, default: bool | None, own: bool | None, expected: bool
) -> None:
    asked = {
        **ASKED,
        "parameters": {} if default is None else {"binary_data_output": default},
        "outputs": [{"name": "entropy", "parameters": {} if own is None else {"binary_data": own}}],
    }
    response = post(client, "tiny", asked)
    read(response)
    assert (LENGTH in response.headers) is expected


def test_json_and_binary_outputs_in_one_answer(client: httpx.Client) -> None:
    wanted = [("logits", True), ("entropy", False), ("prediction", True), ("energy", None), ("probabilities", False)]
    outputs = [
        {"name": name, **({} if binary is None else {"parameters": {"binary_data": binary}})} for name, binary in wanted
    ]
    head, found = read(post(client, "tiny", {**ASKED, "outputs": outputs, "parameters": {"binary_data_output": True}}))
    assert [(output["name"], "data" not in output) for output in head["outputs"]] == [
        ("logits", True), ("entropy", False), ("prediction", True), ("energy", True), ("probabilities", False),
    ]  # fmt: skip
    assert_same(found, predicted(client, "tiny", ROWS))


def test_the_header_may_stand_where_no_bytes_follow(client: httpx.Client) -> None:
    body, _ = write(ASKED)
    read(client.post("/v2/models/tiny/infer", content=body, headers={LENGTH: str(len(body))}))


@pytest.mark.parametrize("rows", [1, 3])
def test_a_body_may_be_nothing_but_the_only_input(client: httpx.Client, rows: int) -> None:
    response = client.post("/v2/models/tiny/infer", content=packed(ROWS[:rows]), headers={LENGTH: "0"})
    head, found = read(response)
    assert "id" not in head
    assert all("data" not in output for output in head["outputs"])
    assert list(found) == OUTPUTS
    assert_same(found, predicted(client, "tiny", ROWS[:rows]))


PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress, "GZIP": gzip.compress}


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_compressed_request_is_read_as_if_it_were_not(client: httpx.Client, encoding: str) -> None:
    described, blob = binary_tensor("input", ROWS)
    body, headers = write({"inputs": [described]}, blob)
    plain = client.post("/v2/models/tiny/infer", content=body, headers=headers)
    headers["Content-Encoding"] = encoding
    small = PACKERS[encoding](body)
    assert len(small) != int(headers[LENGTH])
    assert client.post("/v2/models/tiny/infer", content=small, headers=headers).content == plain.content
    raw = {LENGTH: "0", "Content-Encoding": encoding}
    read(client.post("/v2/models/tiny/infer", content=PACKERS[encoding](packed(ROWS)), headers=raw))
    raw.pop(LENGTH)
    read(client.post("/v2/models/tiny/infer", content=PACKERS[encoding](write(ASKED)[0]), headers=raw))


@contextmanager
def raw_answer(client: httpx.Client, head: object, *blobs: bytes, accept: str) -> Iterator[httpx.Response]:
    body, headers = write(head, *blobs)
    headers["Accept-Encoding"] = accept
    with client.stream("POST", "/v2/models/digits/infer", content=body, headers=headers) as response:
        yield response


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    ("accept", "encoding", "window"),
    [
        ("gzip", "gzip", 31),
        ("deflate", "deflate", 15),
        ("deflate;q=0.5, gzip;q=0.4", "deflate", 15),
        ("br, gzip;q=0, *;q=0.1", "deflate", 15),
        ("br;q=1, gzip", "gzip", 31),
    ],
)
def test_an_answer_is_compressed_as_the_client_accepts(
    client: httpx.Client, binary: bool, accept: str, encoding: str, window: int
) -> None:
    asked = {"inputs": [tensor("input", digits()[:20])], "parameters": {"binary_data_output": binary}}
    with raw_answer(client, asked, accept="identity") as response:
        plain, length = b"".join(response.iter_raw()), response.headers.get(LENGTH)
        assert "content-encoding" not in response.headers
    with raw_answer(client, asked, accept=accept) as response:
        small = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == encoding
    assert response.headers["vary"].lower() == "accept-encoding"
    assert int(response.headers["content-length"]) == len(small) < len(plain)
    assert zlib.decompress(small, window) == plain
    assert response.headers.get(LENGTH) == length
    assert (length is not None) is binary


@pytest.mark.parametrize("accept", ["", "identity", "br", "gzip;q=0", "gzip;q=nonsense", "*;q=0"])
def test_an_answer_is_not_compressed_where_the_client_does_not_accept_it(client: httpx.Client, accept: str) -> None:
    with raw_answer(client, {"inputs": [tensor("input", digits()[:20])]}, accept=accept) as response:
        strict(b"".join(response.iter_raw()))
    assert "content-encoding" not in response.headers


def test_a_small_answer_is_not_compressed(client: httpx.Client) -> None:
    asked = {"inputs": [tensor("input", digits()[:1])], "outputs": [{"name": "entropy"}]}
    with raw_answer(client, asked, accept="gzip") as response:
        strict(b"".join(response.iter_raw()))
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize(("encoding", "body", "status", "says"), [
    ("gzip", gzip.compress(b" " * 300_000, mtime=0), 413, "200000"),
    ("deflate", zlib.compress(b" " * 300_000), 413, "200000"),
    ("gzip", b"no such thing", 400, "gzip"),
    ("deflate", b"no such thing", 400, "deflate"),
    ("gzip", b"", 400, "gzip"),
    ("gzip", gzip.compress(write(ASKED)[0], mtime=0)[:-9], 400, "gzip"),
    ("deflate", zlib.compress(write(ASKED)[0]) + b"more", 400, "deflate"),
    ("gzip", zlib.compress(write(ASKED)[0]), 400, "gzip"),
    ("br", write(ASKED)[0], 415, "br"),
    ("zstd", write(ASKED)[0], 415, "zstd"),
    ("gzip, gzip", gzip.compress(gzip.compress(write(ASKED)[0]), mtime=0), 415, "gzip"),
])  # fmt: skip
def test_a_body_that_is_not_what_its_encoding_says_is_refused(
    client: httpx.Client, encoding: str, body: bytes, status: int, says: str
) -> None:
    response = client.post("/v2/models/tiny/infer", content=body, headers={"Content-Encoding": encoding})
    assert response.status_code == status, response.text
    assert says in error_of(response)
    read(post(client, "tiny", ASKED))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("classes", [1, 3, 10, 99])
def test_classes_of_the_probabilities_carry_their_labels(client: httpx.Client, binary: bool, classes: int) -> None:
    rows = digits()[:4]
    asked: dict[str, Any] = {"inputs": [tensor("input", rows)]}
    asked["outputs"] = [{"name": "probabilities", "parameters": {"classification": classes, "binary_data": binary}}]
    head, found = read(post(client, "digits", asked))
    assert head["outputs"][0]["datatype"] == "BYTES"
    expected = predicted(client, "digits", rows)["probabilities"]
    assert found["probabilities"].shape == (4, min(classes, 10))
    for texts, probabilities in zip(found["probabilities"], expected):
        values, indices, labels = zip(*(text.split(":") for text in texts))
        assert list(map(int, indices)) == np.argsort(-probabilities, kind="stable")[:classes].tolist()
        assert labels == indices  # each digit's label is its own number
        np.testing.assert_allclose(list(map(float, values)), probabilities[list(map(int, indices))], atol=1e-6)


def test_no_classes_is_the_tensor_itself(client: httpx.Client) -> None:
    asked = {**ASKED, "outputs": [{"name": "probabilities", "parameters": {"classification": 0}}]}
    assert_same(read(post(client, "tiny", asked))[1], predicted(client, "tiny", ROWS))


@pytest.mark.parametrize("name", ["logits", "prediction", "entropy"])
def test_what_is_not_a_row_of_classes_has_none(client: httpx.Client, name: str) -> None:
    response = post(client, "tiny", {**ASKED, "outputs": [{"name": name, "parameters": {"classification": 1}}]})
    assert response.status_code == 400
    assert name in error_of(response)


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch, client: httpx.Client) -> Iterator[ThreadPoolExecutor]:
    """While the device is at work on one request that does not end."""
    free, busy = threading.Event(), threading.Event()
    real = Session.run

    def run(session: Session, *arguments: Any) -> Any:
        busy.set()
        assert free.wait(30)
        return real(session, *arguments)

    monkeypatch.setattr(Session, "run", run)
    with ThreadPoolExecutor(4) as pool:
        try:
            first = pool.submit(post, client, "tiny", {"inputs": [tensor("input", ROWS[:1])]})
            assert busy.wait(30)
            yield pool
        finally:
            free.set()
        read(first.result())


ONE = {"inputs": [tensor("input", ROWS[:1])]}


@pytest.mark.parametrize(
    ("microseconds", "milliseconds"), [(30_000, None), (30_000, "15000"), (15_000_000, "30"), (0, "30")]
)
def test_a_request_waits_as_long_as_its_parameter_and_its_header_allow(
    own: Own, monkeypatch: pytest.MonkeyPatch, microseconds: int, milliseconds: str | None
) -> None:
    client, _ = own
    headers = {"X-Request-Timeout-Ms": milliseconds} if milliseconds else {}
    with held(monkeypatch, client):
        late = post(client, "tiny", {**ONE, "parameters": {"timeout": microseconds}}, **headers)
    assert late.status_code == 504
    assert "within 30 ms" in error_of(late)


def test_time_enough_changes_nothing(own: Own) -> None:
    client, _ = own
    read(post(client, "tiny", {**ONE, "parameters": {"timeout": 10_000_000}}))


def test_a_full_queue_is_503_with_retry_after(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    client, app = own
    with held(monkeypatch, client) as pool:
        waiting = pool.submit(post, client, "tiny", ONE)
        until(lambda: app.services.batcher.refusal() is not None)
        refused = post(client, "tiny", ONE)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "MASKSEMBLES_MAX_QUEUE_ROWS" in error_of(refused)
    read(waiting.result())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/tiny/infer"),
        ("PUT", "/v2/models/tiny/infer"),
        ("POST", "/v2/models/tiny"),
        ("DELETE", "/v2"),
        ("GET", "/v2/repository/index"),
    ],
)
def test_another_method_is_405_with_the_error_body(client: httpx.Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert method in error_of(response)


def test_a_page_of_an_allowed_origin_may_send_and_receive_bytes(own: Own) -> None:
    client, _ = own
    origin = {"Origin": "https://page.example"}
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": LENGTH.lower()}
    preflight = client.options("/v2/models/tiny/infer", headers={**origin, **asking})
    assert preflight.status_code == 200, preflight.text
    described, blob = binary_tensor("input", ROWS[:1])
    asked = {"inputs": [described], "parameters": {"binary_data_output": True}}
    response = post(client, "tiny", asked, blob, **origin)
    read(response)
    assert LENGTH.lower() in response.headers["access-control-expose-headers"].lower()
