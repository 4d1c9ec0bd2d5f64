"""Triton's own clients for gRPC, as they come from NVIDIA, against the program as a user starts it."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.http as rest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.app.engine.fakes import until
from tests.pictures import pictures
from tests.serving import ROOT, SHIPPED, VERSIONS, as_process, free_port

RANDOM = np.random.default_rng(0)


class Running(NamedTuple):
    http: httpx.Client
    process: subprocess.Popen[str]
    target: str


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    repository = tmp_path_factory.mktemp("four")
    for name in ("digits", "fashion-mnist", "languages", "scenes"):
        shutil.copytree(ROOT / "models" / "repository" / name, repository / name)
    port = free_port()
    settings = {**SHIPPED, "MASKSEMBLES_GRPC_PORT": str(port), "MASKSEMBLES_ENABLE_ADMIN": "true"}
    with as_process(repository, **settings) as (client, process):
        yield Running(client, process, f"127.0.0.1:{port}")


@pytest.fixture
def client(running: Running) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(running.target) as it:
        yield it


def given(kind: Any, arrays: dict[str, NDArray[Any]]) -> list[Any]:
    """The inputs of a request, for the client of either transport."""
    names = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8", "bool": "BOOL"}
    inputs = []
    for name, values in arrays.items():
        tensor = kind.InferInput(name, list(values.shape), names[str(values.dtype)])
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    return inputs


def inputs_of(http: httpx.Client, model: str, rows: int, size: int) -> dict[str, NDArray[Any]]:
    """Some values for each input that the metadata names, `size` along every free axis."""
    found: dict[str, NDArray[Any]] = {}
    for tensor in http.get(f"/v2/models/{model}").raise_for_status().json()["inputs"]:
        shape = [rows, *(size if axis < 0 else axis for axis in tensor["shape"][1:])]
        if tensor["datatype"] == "FP32":
            found[tensor["name"]] = RANDOM.random(shape, np.float32)
        elif tensor["datatype"] == "INT64":
            found[tensor["name"]] = RANDOM.integers(1, 20, shape)
        elif tensor["datatype"] == "UINT8":
            found[tensor["name"]] = RANDOM.integers(0, 256, shape, np.uint8)
        else:
            found[tensor["name"]] = np.ones(shape, bool)
    return found


@pytest.mark.parametrize(("model", "size"), [("digits", 0), ("fashion-mnist", 0), ("scenes", 64), ("languages", 12)])
def test_the_same_bits_as_rest(running: Running, client: Any, model: str, size: int) -> None:
    arrays = inputs_of(running.http, model, 2, size)
    found = client.infer(model, given(triton, arrays), request_id="7", timeout=60_000_000, priority=1)
    assert found.get_response().id == "7"
    address = f"{running.http.base_url.host}:{running.http.base_url.port}"
    with rest.InferenceServerClient(address, network_timeout=60) as other:
        expected = other.infer(model, given(rest, arrays))
    names = [output.name for output in found.get_response().outputs]
    assert names == [output["name"] for output in expected.get_response()["outputs"]]
    for name in names:
        assert found.as_numpy(name).dtype == expected.as_numpy(name).dtype
        assert found.as_numpy(name).tobytes() == expected.as_numpy(name).tobytes(), name


def test_asyncio_and_callbacks(running: Running, client: Any) -> None:
    arrays = {"input": pictures().inputs[:3]}
    expected = client.infer("fashion-mnist", given(triton, arrays)).as_numpy("entropy")

    async def ask() -> list[Any]:
        async with triton_aio.InferenceServerClient(running.target) as other:
            return await asyncio.gather(*[other.infer("fashion-mnist", given(triton, arrays)) for _ in range(20)])

    for found in asyncio.run(ask()):
        np.testing.assert_allclose(found.as_numpy("entropy"), expected, rtol=1e-5)  # batches differ
    answers: list[Any] = []
    for _ in range(5):
        client.async_infer(
            "fashion-mnist", given(triton, arrays), lambda result, error: answers.append(error or result)
        )
    until(lambda: len(answers) == 5)
    np.testing.assert_allclose([answer.as_numpy("entropy") for answer in answers], [expected] * 5, rtol=1e-5)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_what_else_the_client_can_do(client: Any, algorithm: str) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits", "3")
    assert client.get_server_metadata(as_json=True)["name"] == "masksembles"
    assert client.get_model_metadata("digits").inputs[0].shape == [-1, 1, 8, 8]
    assert client.get_model_config("digits").config.max_batch_size == 1024
    assert client.get_inference_statistics("digits").model_stats[0].name == "digits"
    outputs = [triton.InferRequestedOutput("probabilities", class_count=2)]
    found = client.infer(
        "digits",
        given(triton, {"input": RANDOM.random((1, 1, 8, 8), np.float32)}),
        outputs=outputs,
        compression_algorithm=algorithm,
        headers={"x-request-id": "mine"},
    )
    assert found.as_numpy("probabilities").shape == (1, 2)


def test_loading_and_unloading(client: Any) -> None:
    def states() -> dict[str, str]:
        return {entry.name: entry.state for entry in client.get_model_repository_index().models}

    client.unload_model("digits")
    assert states()["digits"] == "UNAVAILABLE"
    assert not client.is_model_ready("digits")
    client.load_model("digits")
    assert states()["digits"] == "READY"
    with pytest.raises(InferenceServerException, match="without parameters"):
        client.load_model("digits", config=json.dumps({"backend": "onnxruntime"}))


def test_errors_reach_the_client(client: Any) -> None:
    inputs = given(triton, {"input": RANDOM.random((1, 1, 8, 8), np.float32)})
    with pytest.raises(InferenceServerException, match="no model 'cats' is served") as raised:
        client.infer("cats", inputs)
    assert raised.value.status() == "StatusCode.NOT_FOUND"
    rows = given(triton, {"input": RANDOM.random((1000, 1, 8, 8), np.float32)})
    with pytest.raises(InferenceServerException) as raised:  # so many are not answered in a millisecond
        client.infer("digits", rows, client_timeout=1e-3)
    assert raised.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_a_signal_under_load_leaves_no_accepted_call_without_an_answer(tmp_path: Path) -> None:
    version = Path("fashion-mnist", str(VERSIONS["fashion-mnist"]))
    shutil.copytree(ROOT / "models" / "repository" / version, tmp_path / version)
    port = free_port()
    inputs = given(triton, {"input": pictures().inputs[:1]})

    def ask() -> tuple[int, list[str]]:
        answered = 0
        wrong: list[str] = []
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            while not wrong:
                try:
                    client.infer("fashion-mnist", inputs)
                    answered += 1
                except InferenceServerException as error:
                    wrong.append(f"{error.status()} {error.message()}")
        return answered, wrong

    with (
        ThreadPoolExecutor(4) as pool,
        as_process(tmp_path, MASKSEMBLES_GRPC_PORT=str(port)) as (_, process),
        grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        grpc.channel_ready_future(channel).result(30)
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
        tasks = [pool.submit(ask) for _ in range(4)]
        time.sleep(1)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert time.monotonic() - began < 0.9  # while calls are still answered
        found = [task.result() for task in tasks]
        assert process.wait(20) == 0
    assert sum(answered for answered, _ in found) > 50
    for _, (end,) in found:  # none was cancelled: each found nobody to connect to
        assert end.startswith("StatusCode.UNAVAILABLE"), end
        assert "Cancelling" not in end, end


def start(**settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MASKSEMBLES_PORT": str(free_port()), **settings}
    return subprocess.run([sys.executable, "-m", "app"], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_without_its_packages_the_service_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "grpc").mkdir()
    (tmp_path / "grpc" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'grpc'\", name='grpc')")
    found = start(MASKSEMBLES_GRPC_PORT="0", PYTHONPATH=str(tmp_path))
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1] == (
        "error: MASKSEMBLES_GRPC_PORT is set, but there is no grpc: install the extra grpc (pip install '.[grpc]')"
    )


def test_a_port_that_is_taken_ends_the_start(tiny_repository: Path) -> None:
    with as_process(tiny_repository, MASKSEMBLES_GRPC_PORT=str(port := free_port())) as (client, _):
        client.get("/health/ready").raise_for_status()
        found = start(MASKSEMBLES_GRPC_PORT=str(port), MASKSEMBLES_MODEL_REPOSITORY=str(tiny_repository))
    assert found.returncode == 1
    assert f"error: MASKSEMBLES_GRPC_PORT={port}: " in found.stderr


def test_nothing_imports_grpc_where_it_is_off(tiny_repository: Path) -> None:
    with as_process(tiny_repository) as (client, process):
        client.get("/health/ready").raise_for_status()
        assert "cygrpc" not in Path(f"/proc/{process.pid}/maps").read_text()
