"""Triton's own Python clients, as they come from NVIDIA, against the program as a user starts it."""

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeAlias

import httpx
import numpy as np
import pytest
import tritonclient.http as sync
import tritonclient.http.aio as aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.pictures import pictures
from tests.serving import ROOT, SHIPPED, VERSIONS, as_process

OUTPUTS = (
    "prediction", "probabilities", "submodels", "entropy", "expected_entropy", "mutual_information", "energy", "logits",
)  # fmt: skip
STATISTICS = ("success", "queue", "compute_input", "compute_infer", "compute_output")

Client: TypeAlias = sync.InferenceServerClient


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    repository = tmp_path_factory.mktemp("two")
    for name, version in VERSIONS.items():
        shutil.copytree(ROOT / "models" / "repository" / name / str(version), repository / name / str(version))
    with as_process(repository, **SHIPPED, MASKSEMBLES_ENABLE_ADMIN="true") as (client, _):
        yield client


@pytest.fixture(scope="module")
def url(http: httpx.Client) -> str:
    return f"{http.base_url.host}:{http.base_url.port}"


@pytest.fixture
def triton(url: str) -> Iterator[Client]:
    with Client(url, concurrency=4) as client:
        yield client


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return pictures().inputs[:12]


@pytest.fixture(scope="module")
def expected(http: httpx.Client, rows: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """What POST /predict says of the rows, by the names of the graph's outputs."""
    body = {"model": "fashion-mnist", "inputs": rows.tolist(), "outputs": list(OUTPUTS)}
    predictions = http.post("/predict", json=body).raise_for_status().json()["predictions"]
    submodels = [[submodel["probabilities"] for submodel in prediction["submodels"]] for prediction in predictions]
    return {
        "prediction": np.array([prediction["index"] for prediction in predictions]),
        "submodels": np.array(submodels, np.float32),
        **{
            name: np.array([prediction[name] for prediction in predictions], np.float32)
            for name in OUTPUTS
            if name not in ("prediction", "submodels")
        },
    }


def given(rows: NDArray[Any], *, binary: bool = True) -> list[Any]:
    tensor = sync.InferInput("input", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return [tensor]


def wanted() -> list[Any]:
    return [
        sync.InferRequestedOutput("logits", binary_data=True),
        sync.InferRequestedOutput("entropy", binary_data=False),
        sync.InferRequestedOutput("prediction", binary_data=True),
        sync.InferRequestedOutput("submodels", binary_data=False),
    ]


def with_aio(url: str, use: Callable[[Any], Awaitable[None]]) -> None:
    async def run() -> None:
        async with aio.InferenceServerClient(url) as client:
            await use(client)

    asyncio.run(run())


def assert_answers(result: Any, expected: dict[str, NDArray[Any]], names: tuple[str, ...] = OUTPUTS) -> None:
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"]) == ("fashion-mnist", str(VERSIONS["fashion-mnist"]))
    assert tuple(output["name"] for output in answer["outputs"]) == names
    for name in names:
        found = result.as_numpy(name)
        assert found.dtype == expected[name].dtype
        assert found.shape == expected[name].shape
        np.testing.assert_allclose(found, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert result.as_numpy("nothing") is None


def test_health(triton: Client) -> None:
    assert triton.is_server_live() is True
    assert triton.is_server_ready() is True
    assert triton.is_model_ready("digits") is True
    assert triton.is_model_ready("digits", "3") is True
    assert triton.is_model_ready("digits", "1") is False
    assert triton.is_model_ready("cats") is False
    assert triton.is_server_live(query_params={"test": "1"}, headers={"X-Request-ID": "mine"}) is True


def test_metadata_and_configuration(triton: Client) -> None:
    server = triton.get_server_metadata()
    assert server["name"] == "masksembles"
    assert server["version"]
    assert {"binary_tensor_data", "model_repository", "statistics", "model_configuration"} <= set(server["extensions"])
    for version in ("", "3"):
        model = triton.get_model_metadata("digits", version)
        assert (model["name"], model["versions"]) == ("digits", ["3"])
        assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
        assert tuple(output["name"] for output in model["outputs"]) == OUTPUTS
        config = triton.get_model_config("digits", version)
        assert config["max_batch_size"] == 1024
        assert config["input"] == [{"name": "input", "data_type": "TYPE_FP32", "dims": [1, 8, 8]}]


def test_repository(triton: Client, rows: NDArray[np.float32]) -> None:
    def states() -> dict[str, str]:
        return {entry["name"]: entry["state"] for entry in triton.get_model_repository_index()}

    assert states() == {"digits": "READY", "fashion-mnist": "READY"}
    triton.unload_model("fashion-mnist")
    assert states() == {"digits": "READY", "fashion-mnist": "UNAVAILABLE"}
    assert triton.is_model_ready("fashion-mnist") is False
    assert triton.is_server_ready() is True
    with pytest.raises(InferenceServerException, match="no model 'fashion-mnist' is served"):
        triton.infer("fashion-mnist", given(rows))
    triton.load_model("fashion-mnist")
    assert triton.is_model_ready("fashion-mnist") is True
    triton.infer("fashion-mnist", given(rows))
    with pytest.raises(InferenceServerException, match="without parameters"):
        triton.load_model("fashion-mnist", config=json.dumps({"backend": "onnxruntime"}))
    for call in (triton.load_model, triton.unload_model):
        with pytest.raises(InferenceServerException, match="cats") as raised:
            call("cats")
        assert raised.value.status() == "404"


def test_statistics(triton: Client, rows: NDArray[np.float32]) -> None:
    def counted(found: Any) -> tuple[int, dict[str, tuple[int, int]]]:
        (stats,) = found["model_stats"]
        return stats["inference_count"], {
            name: (stats["inference_stats"][name]["count"], stats["inference_stats"][name]["ns"])
            for name in (*STATISTICS, "fail")
        }

    before, parts_before = counted(triton.get_inference_statistics("fashion-mnist"))
    for _ in range(3):
        triton.infer("fashion-mnist", given(rows[:2]))
    with pytest.raises(InferenceServerException):
        triton.infer("fashion-mnist", given(rows[:, 0]))
    after, parts = counted(triton.get_inference_statistics("fashion-mnist", str(VERSIONS["fashion-mnist"])))
    assert after - before == 6
    for name in STATISTICS:
        assert parts[name][0] - parts_before[name][0] == 3
        assert parts[name][1] > parts_before[name][1]
    assert parts["fail"][0] - parts_before["fail"][0] == 1
    assert [entry["name"] for entry in triton.get_inference_statistics()["model_stats"]] == ["digits", "fashion-mnist"]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("request_id", ["", "mine"])
def test_infer(
    triton: Client,
    rows: NDArray[np.float32],
    expected: dict[str, NDArray[Any]],
    binary: bool,
    algorithm: str | None,
    some: bool,
    request_id: str,
) -> None:
    result = triton.infer(
        "fashion-mnist",
        given(rows, binary=binary),
        outputs=wanted() if some else None,
        request_id=request_id,
        request_compression_algorithm=algorithm,
        response_compression_algorithm=algorithm,
    )
    names = ("logits", "entropy", "prediction", "submodels") if some else OUTPUTS
    assert_answers(result, expected, names)
    assert result.get_response().get("id", "") == request_id
    assert all("data" not in output for output in result.get_response()["outputs"]) is not some


def test_infer_by_version_with_whatever_else_it_takes(
    triton: Client, rows: NDArray[np.float32], expected: dict[str, NDArray[Any]]
) -> None:
    result = triton.infer(
        "fashion-mnist",
        given(rows),
        model_version=str(VERSIONS["fashion-mnist"]),
        priority=1,
        timeout=5_000_000,
        headers={"X-Request-ID": "mine"},
        query_params={"test_1": 1, "test_2": [1, 2]},
        parameters={"key1": "value", "key2": 2, "key3": 1.5, "key4": True},
    )
    assert_answers(result, expected)


def test_the_bodies_that_it_writes_and_reads_for_others(
    triton: Client, http: httpx.Client, rows: NDArray[np.float32], expected: dict[str, NDArray[Any]]
) -> None:
    body, length = triton.generate_request_body(given(rows))
    response = http.post(
        "/v2/models/fashion-mnist/infer", content=body, headers={"Inference-Header-Content-Length": str(length)}
    )
    head = int(response.headers["Inference-Header-Content-Length"])
    assert_answers(triton.parse_response_body(response.content, header_length=head), expected)


@pytest.mark.parametrize("binary", [True, False])
def test_classes(
    triton: Client, rows: NDArray[np.float32], expected: dict[str, NDArray[Any]], binary: bool, http: httpx.Client
) -> None:
    outputs = [sync.InferRequestedOutput("probabilities", binary_data=binary, class_count=3)]
    found = triton.infer("fashion-mnist", given(rows), outputs=outputs).as_numpy("probabilities")
    assert found.shape == (len(rows), 3)
    labels = http.get("/models/fashion-mnist").json()["heads"][0]["labels"]
    for texts, probabilities in zip(found, expected["probabilities"]):
        parts = [(text.decode() if isinstance(text, bytes) else text).split(":") for text in texts]
        best = np.argsort(-probabilities)[:3]
        assert [int(index) for _, index, _ in parts] == best.tolist()
        assert [label for _, _, label in parts] == [labels[index] for index in best]
        np.testing.assert_allclose([float(value) for value, _, _ in parts], probabilities[best], atol=1e-5)


@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
def test_async_infer(
    triton: Client, rows: NDArray[np.float32], expected: dict[str, NDArray[Any]], algorithm: str | None
) -> None:
    pending = [
        triton.async_infer(
            "fashion-mnist",
            given(rows),
            request_id=str(number),
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )
        for number in range(8)
    ]
    for number, request in enumerate(pending):
        result = request.get_result(timeout=30)
        assert result.get_response()["id"] == str(number)
        assert_answers(result, expected)
    with pytest.raises(InferenceServerException, match="no model 'cats'"):
        triton.async_infer("cats", given(rows)).get_result(timeout=30)


def wrong_shape(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {"model_name": "fashion-mnist", "inputs": given(rows[:, :, :5])}


def wrong_datatype(rows: NDArray[np.float32]) -> dict[str, Any]:
    tensor = sync.InferInput("input", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows.astype(np.float64))
    return {"model_name": "fashion-mnist", "inputs": [tensor]}


def out_of_range(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {"model_name": "fashion-mnist", "inputs": given(255 * rows)}


def not_finite(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {"model_name": "fashion-mnist", "inputs": given(np.full_like(rows, np.nan))}


def unknown_input(rows: NDArray[np.float32]) -> dict[str, Any]:
    tensor = sync.InferInput("INPUT0", list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    return {"model_name": "fashion-mnist", "inputs": [tensor]}


def no_data(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {"model_name": "fashion-mnist", "inputs": [sync.InferInput("input", list(rows.shape), "FP32")]}


def shared_memory(rows: NDArray[np.float32]) -> dict[str, Any]:
    tensor = sync.InferInput("input", list(rows.shape), "FP32")
    tensor.set_shared_memory("mine", rows.nbytes)
    return {"model_name": "fashion-mnist", "inputs": [tensor]}


def shared_output(rows: NDArray[np.float32]) -> dict[str, Any]:
    output = sync.InferRequestedOutput("entropy")
    output.set_shared_memory("mine", 4 * len(rows))
    return {"model_name": "fashion-mnist", "inputs": given(rows), "outputs": [output]}


def unknown_output(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "model_name": "fashion-mnist", "inputs": given(rows), "outputs": [sync.InferRequestedOutput("OUTPUT0")],
    }  # fmt: skip


def sequence(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {"model_name": "fashion-mnist", "inputs": given(rows), "sequence_id": 7, "sequence_start": True}


def unknown_model(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {"model_name": "cats", "inputs": given(rows)}


def no_name(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {"model_name": "fashion mnist", "inputs": given(rows)}


def unknown_version(rows: NDArray[np.float32]) -> dict[str, Any]:
    return {"model_name": "fashion-mnist", "inputs": given(rows), "model_version": "9"}


ERRORS: list[tuple[Callable[[NDArray[np.float32]], dict[str, Any]], str, str]] = [
    (wrong_shape, "400", "expected the shape"),
    (wrong_datatype, "400", "expected FP32"),
    (out_of_range, "400", "values in [0, 1]"),
    (not_finite, "400", "finite"),
    (unknown_input, "400", "unknown input 'INPUT0'"),
    (no_data, "400", "either data or"),
    (shared_memory, "400", "shared memory is not supported"),
    (shared_output, "400", "shared memory is not supported"),
    (unknown_output, "400", "unknown output 'OUTPUT0'"),
    (sequence, "400", "sequence"),
    (unknown_model, "404", "no model 'cats' is served"),
    (no_name, "400", "'fashion mnist' is not a model name"),
    (unknown_version, "404", "version 9"),
]


@pytest.mark.parametrize(("wrong", "status", "says"), ERRORS, ids=lambda value: getattr(value, "__name__", None))
def test_an_error_arrives_with_its_text(
    triton: Client,
    url: str,
    rows: NDArray[np.float32],
    wrong: Callable[[NDArray[np.float32]], dict[str, Any]],
    status: str,
    says: str,
) -> None:
    for call in (
        lambda: triton.infer(**wrong(rows)),
        lambda: with_aio(url, lambda client: client.infer(**wrong(rows))),
    ):
        with pytest.raises(InferenceServerException) as raised:
            call()
        assert raised.value.status() == status
        assert says in raised.value.message()
        assert "while decoding the response" not in raised.value.message()
    triton.infer("fashion-mnist", given(rows[:1]))


UNKNOWN: dict[str, Callable[[Any], Any]] = {
    "v2/trace/setting": lambda client: client.get_trace_settings(),
    "v2/models/digits/trace/setting": lambda client: client.get_trace_settings("digits"),
    "v2/trace/setting to change": lambda client: client.update_trace_settings(settings={"trace_level": ["OFF"]}),
    "v2/logging": lambda client: client.get_log_settings(),
    "v2/logging to change": lambda client: client.update_log_settings({"log_verbose_level": 1}),
    "v2/systemsharedmemory/status": lambda client: client.get_system_shared_memory_status(),
    "v2/systemsharedmemory/region/mine/register": lambda client: client.register_system_shared_memory("mine", "/k", 8),
    "v2/systemsharedmemory/unregister": lambda client: client.unregister_system_shared_memory(),
    "v2/systemsharedmemory/region/mine/unregister": lambda client: client.unregister_system_shared_memory("mine"),
    "v2/cudasharedmemory/status": lambda client: client.get_cuda_shared_memory_status(),
    "v2/cudasharedmemory/region/mine/register": lambda client: client.register_cuda_shared_memory("mine", b"aa", 0, 8),
    "v2/cudasharedmemory/unregister": lambda client: client.unregister_cuda_shared_memory(),
}


@pytest.mark.parametrize("call", UNKNOWN)
def test_what_is_not_advertised_is_said_not_to_be_there(triton: Client, url: str, call: str) -> None:
    for ask in (lambda: UNKNOWN[call](triton), lambda: with_aio(url, UNKNOWN[call])):
        with pytest.raises(InferenceServerException) as raised:
            ask()
        assert raised.value.status() == "404"
        assert raised.value.message() == f"no such path: /{call.partition(' ')[0]}"


def test_aio_metadata_and_control(url: str) -> None:
    async def use(client: Any) -> None:
        assert await client.is_server_live() is True
        assert await client.is_server_ready() is True
        assert await client.is_model_ready("digits", "3") is True
        assert await client.is_model_ready("cats") is False
        assert (await client.get_server_metadata())["name"] == "masksembles"
        assert (await client.get_model_metadata("digits"))["versions"] == ["3"]
        assert (await client.get_model_config("digits", "3"))["name"] == "digits"
        assert len((await client.get_inference_statistics())["model_stats"]) == 2
        assert len((await client.get_inference_statistics("digits", "3"))["model_stats"]) == 1
        await client.unload_model("digits")
        assert await client.is_model_ready("digits") is False
        await client.load_model("digits")
        assert {entry["state"] for entry in await client.get_model_repository_index()} == {"READY"}

    with_aio(url, use)


@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
def test_aio_infers_several_at_once(
    url: str, rows: NDArray[np.float32], expected: dict[str, NDArray[Any]], algorithm: str | None
) -> None:
    async def use(client: Any) -> None:
        results = await asyncio.gather(
            *(
                client.infer(
                    "fashion-mnist",
                    given(rows, binary=number % 2 == 0),
                    outputs=wanted() if number % 3 == 0 else None,
                    request_id=str(number),
                    request_compression_algorithm=algorithm,
                    response_compression_algorithm=algorithm,
                )
                for number in range(16)
            )
        )
        for number, result in enumerate(results):
            assert result.get_response()["id"] == str(number)
            assert_answers(
                result, expected, ("logits", "entropy", "prediction", "submodels") if number % 3 == 0 else OUTPUTS
            )

    with_aio(url, use)
