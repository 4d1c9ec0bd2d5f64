"""The program as a user starts it, over the shipped repository."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.special import entr

from app.engine.device import missing_for_cuda
from tests.pictures import REQUEST, pictures, same_to_three_digits
from tests.serving import ROOT, SHIPPED, VERSIONS, as_process

REPOSITORY = ROOT / "models" / "repository"

Running = tuple[httpx.Client, subprocess.Popen[str]]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with as_process(REPOSITORY, **SHIPPED) as started:
        yield started


def test_500_pictures_over_http(running: Running) -> None:
    client, _ = running
    split = pictures()
    answers = []
    for first in range(0, 500, 100):
        body = {"model": "fashion-mnist", "inputs": split.inputs[first : first + 100].tolist()}
        answers += client.post("/predict", json=body).raise_for_status().json()["predictions"]
    contract = client.get(f"/models/fashion-mnist/versions/{VERSIONS['fashion-mnist']}").json()["contract"]
    expected = contract["heads"][0]["evaluation"]["accuracy"]
    assert expected >= 0.91
    accuracy = np.mean([answer["index"] for answer in answers] == split.labels)
    assert accuracy == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / 500))

    p = np.array([[submodel["probabilities"] for submodel in answer["submodels"]] for answer in answers])
    assert p.shape == (500, 4, 10)
    found = {name: np.array([answer[name] for answer in answers]) for name in answers[0] if name != "label"}
    mean = p.mean(axis=1)
    np.testing.assert_allclose(found["probabilities"], mean, atol=1e-6)
    entropy, conditional = entr(mean).sum(axis=-1), entr(p).sum(axis=-1).mean(axis=-1)
    np.testing.assert_allclose(found["entropy"], entropy, atol=1e-5)
    np.testing.assert_allclose(found["expected_entropy"], conditional, atol=1e-5)
    np.testing.assert_allclose(found["mutual_information"], entropy - conditional, atol=1e-5)
    assert found["mutual_information"].min() >= 0
    assert found["mutual_information"].max() <= np.log(4)
    wrong = found["index"] != split.labels
    assert entropy[wrong].mean() > 2 * entropy[~wrong].mean()  # the doubt tells right from wrong


def test_the_document_s_example_gets_its_answer(running: Running) -> None:
    client, _ = running
    operation = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    request = operation["requestBody"]["content"]["application/json"]["example"]
    expected = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert same_to_three_digits(client.post("/predict", json=request).json(), expected)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_no_torch_in_the_process(running: Running) -> None:
    client, process = running
    client.get("/health/ready").raise_for_status()
    mapped = Path(f"/proc/{process.pid}/maps").read_text()
    assert "onnxruntime" in mapped
    assert "torch" not in mapped


def test_nothing_is_sent_or_left_anywhere(tmp_path: Path) -> None:
    """onnxruntime's telemetry, where it is on, leaves a device id in the user's cache before it reports."""
    client_code = "import {}, onnxruntime as o; o.get_available_providers(); o.SessionOptions()"
    for package in ("app.main", "models.artefact"):
        environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        command = [sys.executable, "-c", client_code.format(package)]
        found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert found.stderr == ""
    assert list(tmp_path.rglob("*")) == []


def test_the_documentation_page_is_served(running: Running) -> None:
    client, _ = running
    assert "swagger" in client.get("/docs").text


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    with as_process(REPOSITORY, MASKSEMBLES_MAX_BODY_BYTES="100000") as (client, _):
        headers = {"content-type": "application/json"}
        response = client.post("/predict", content=b" " * 3_000_000, headers=headers)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == "body_too_large"
        request = REQUEST.read_bytes()
        assert client.post("/predict", content=request, headers=headers).status_code == 200


def test_sigterm_finishes_what_was_accepted_and_exits_with_0() -> None:
    body = REQUEST.read_bytes()
    with as_process(REPOSITORY) as (client, process), socket.socket() as accepted:
        accepted.connect((client.base_url.host, client.base_url.port or 0))
        accepted.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        accepted.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body[:-9])
        client.get("/health/ready").raise_for_status()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        accepted.sendall(body[-9:])
        accepted.settimeout(30)
        with accepted.makefile("rb") as answer:
            assert answer.readline().startswith(b"HTTP/1.1 200")
            assert b'"mutual_information"' in answer.read()
        assert process.wait(30) == 0


@pytest.mark.slow
def test_sigterm_does_not_wait_for_a_body_that_never_comes() -> None:
    with as_process(REPOSITORY, MASKSEMBLES_QUEUE_TIMEOUT_MS="1000") as (client, process), socket.socket() as half:
        half.connect((client.base_url.host, client.base_url.port or 0))
        half.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        half.sendall(b"Content-Length: 500\r\n\r\n{")
        client.get("/health/ready").raise_for_status()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def start(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **settings}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.skipif(missing_for_cuda() is None, reason="there is a GPU")
def test_cuda_without_a_gpu_does_not_start_and_says_what_is_missing() -> None:
    found = start(MASKSEMBLES_DEVICE="cuda")
    assert found.returncode == 1
    assert "error: MASKSEMBLES_DEVICE=cuda, but no GPU can be used: " in found.stderr
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert "libcuda.so.1" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"MASKSEMBLES_DEVICE": "tpu"}, "error: MASKSEMBLES_DEVICE: Input should be 'auto', 'cpu' or 'cuda'"),
        ({"MASKSEMBLES_PORT": "many"}, "error: MASKSEMBLES_PORT: Input should be a valid integer"),
        ({"MASKSEMBLES_PIN": "digits"}, "error: MASKSEMBLES_PIN: 'digits' is not a model and version"),
        ({"MASKSEMBLES_PIN": "digits:99"}, "error: MASKSEMBLES_PIN: digits:99 cannot be served: the repository has"),
        ({"MASKSEMBLES_MODEL_REPOSITORY": "/nowhere"}, "error: MASKSEMBLES_MODEL_REPOSITORY: /nowhere is no folder"),
        ({"MASKSEMBLES_DEFAULT_MODEL": "cats"}, "error: MASKSEMBLES_DEFAULT_MODEL: 'cats' cannot be served"),
    ],
)
def test_a_wrong_setting_ends_with_its_name(settings: dict[str, str], message: str) -> None:
    found = start("--check", **settings)
    assert found.returncode == 1
    assert message in found.stderr
    assert "Traceback" not in found.stderr


def without_contract(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def disagreeing(model: onnx.ModelProto) -> None:
    contract = json.loads(model.metadata_props[0].value)
    model.metadata_props[0].value = json.dumps({**contract, "num_submodels": 5})


def external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def test_bad_files_are_refused_and_the_good_one_serves(tmp_path: Path) -> None:
    content = (REPOSITORY / "digits" / "3" / "model.onnx").read_bytes()
    files = [(content, None), (content[:50_000], "truncated")]
    for change, reason in (
        (without_contract, "has no contract"),
        (disagreeing, "contract: outputs.submodels.shape: declared ['B', 5, 10], the graph has ['B', 4, 10]"),
        (external, "lie in an external file"),
    ):
        model = onnx.load_model_from_string(content)
        change(model)
        files.append((model.SerializeToString(), reason))
    for version, (bytes_, _) in enumerate(files, 1):
        (tmp_path / "digits" / str(version)).mkdir(parents=True)
        (tmp_path / "digits" / str(version) / "model.onnx").write_bytes(bytes_)
    with as_process(tmp_path) as (client, _):
        found = client.get("/models/digits").json()
        for version, (_, expected) in zip(found["versions"], files):
            assert version["state"] == ("available" if expected is None else "rejected")
            assert (expected or "") in version.get("reason", "")
        request = json.loads((ROOT / "app" / "api" / "examples" / "request.json").read_text())
        assert client.post("/predict", json=request).json()["predictions"][0]["label"] == "0"
        response = client.post("/predict", json={**request, "version": 4})
        assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_version")
        assert client.post("/predict", json=request).status_code == 200


def test_check_reports_every_version(tmp_path: Path) -> None:
    found = start("--check", **SHIPPED)
    assert found.returncode == 0, found.stderr
    assert {f"{name}:{version} available" for name, version in VERSIONS.items()} <= set(found.stdout.splitlines())
    (tmp_path / "digits" / "1").mkdir(parents=True)
    content = (REPOSITORY / "digits" / "3" / "model.onnx").read_bytes()
    (tmp_path / "digits" / "1" / "model.onnx").write_bytes(content)
    (tmp_path / "digits" / "3").mkdir()
    (tmp_path / "digits" / "3" / "model.onnx").write_bytes(content[:5000])
    found = start("--check", MASKSEMBLES_MODEL_REPOSITORY=str(tmp_path))
    assert found.returncode == 1
    assert found.stdout.splitlines()[0] == "digits:1 available"
    assert found.stdout.splitlines()[1].startswith("digits:3 rejected: not an ONNX file, or truncated")
    (tmp_path / "empty").mkdir()
    found = start("--check", MASKSEMBLES_MODEL_REPOSITORY=str(tmp_path / "empty"))
    assert (found.returncode, found.stdout) == (1, "no model is available\n")
