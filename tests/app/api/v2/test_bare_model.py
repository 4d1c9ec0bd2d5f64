"""ONNX files without a contract, which /v2 alone serves, and only where MASKSEMBLES_ALLOW_BARE_ONNX allows it."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from app.api.v2.tensors import DATATYPES
from tests.app.api.v2.protocol import LENGTH, Head, binary_tensor, error_of, packed, post, read, strict, tensor, write
from tests.serving import serving

Sizes = Sequence[int | str | None]
Ports = dict[str, tuple[int, Sizes]]

REASON = "its file has no contract: served through /v2 alone"
ONNX_TYPES = {
    "BOOL": TensorProto.BOOL, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}  # fmt: skip


def limits(dtype: type[Any]) -> list[Any]:
    if np.issubdtype(dtype, np.integer):
        return [np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max]
    found = np.finfo(dtype)
    return [found.min, -0.0, found.smallest_subnormal, found.max]


VALUES: dict[str, NDArray[Any]] = {
    "BOOL": np.array([[True, False], [False, True]]),
    "BYTES": np.array([["", "a"], ['ü🦊 "\\\n\0', "x" * 300]], object),
    **{
        datatype: np.array(limits(np.dtype(dtype).type), dtype).reshape(2, 2)
        for dtype, datatype in DATATYPES.items()
        if datatype not in ("BOOL", "BYTES")
    },
}
IN_JSON = [datatype for datatype in VALUES if datatype != "FP16"]
X = np.arange(16, dtype=np.int32).reshape(1, 16)
Y = np.full((1, 16), 5, np.int32)


def save(
    folder: Path, name: str, nodes: Sequence[tuple[str, list[str], str]], given: Ports, answers: Ports, **constants: Any
) -> None:
    """A graph of nodes, each an operation with its inputs and its output."""
    graph = helper.make_graph(
        [helper.make_node(operation, inputs, [output]) for operation, inputs, output in nodes],
        name,
        [helper.make_tensor_value_info(port, *described) for port, described in given.items()],
        [helper.make_tensor_value_info(port, *described) for port, described in answers.items()],
        [numpy_helper.from_array(values, constant) for constant, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / name / "1").mkdir(parents=True)
    onnx.save(model, folder / name / "1" / "model.onnx")


def save_identity(folder: Path, name: str, dtype: int, sizes: Sizes) -> None:
    save(folder, name, [("Identity", ["INPUT0"], "OUTPUT0")], {"INPUT0": (dtype, sizes)}, {"OUTPUT0": (dtype, sizes)})


def save_simple(folder: Path, name: str = "simple") -> None:
    """The model of Triton's examples."""
    port: tuple[int, Sizes] = (TensorProto.INT32, ["B", 16])
    nodes = [("Add", ["INPUT0", "INPUT1"], "OUTPUT0"), ("Sub", ["INPUT0", "INPUT1"], "OUTPUT1")]
    save(folder, name, nodes, {"INPUT0": port, "INPUT1": port}, {"OUTPUT0": port, "OUTPUT1": port})


@pytest.fixture(scope="module")
def plain(tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("plain")
    shutil.copytree(tiny_repository / "tiny", folder / "tiny")
    save_simple(folder)
    for datatype, dtype in ONNX_TYPES.items():
        save_identity(folder, f"identity_{datatype.lower()}", dtype, ["a", "b"])
    number, whole = TensorProto.FLOAT, TensorProto.INT64
    save_identity(folder, "string", TensorProto.STRING, [1])
    save_identity(folder, "scalar", number, [])
    save_identity(folder, "fixed", number, [2, 3])
    save_identity(folder, "unnamed", number, [None, 2])
    save_identity(folder, "negative", number, [-1, 2])
    save_identity(folder, "one_open", number, ["B", 3])
    save_identity(folder, "two_equal", number, ["n", "n"])
    save(folder, "log", [("Log", ["x"], "y")], {"x": (number, ["B"])}, {"y": (number, ["B"])})
    table = np.array([1, 2, 3], np.float32)
    picked: dict[str, tuple[int, Sizes]] = {"picked": (number, ["n"])}
    save(folder, "gather", [("Gather", ["table", "index"], "picked")], {"index": (whole, ["n"])}, picked, table=table)
    save(folder, "fails", [("Reshape", ["x", "shape"], "y")], {"x": (number, ["n"])}, {"y": (number, [2, 3])},
         shape=np.array([2, 3]))  # fmt: skip
    with serving(folder, allow_bare_onnx=True, max_body_bytes=200_000) as client:
        yield client


def assert_equal(found: NDArray[Any], expected: NDArray[Any]) -> None:
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert packed(found) == packed(expected)


def sent(name: str, values: NDArray[Any], *, binary: bool) -> tuple[Head, tuple[bytes, ...]]:
    if not binary:
        return tensor(name, values), ()
    described, blob = binary_tensor(name, values)
    return described, (blob,)


def test_metadata_of_simple(plain: httpx.Client) -> None:
    shape = {"datatype": "INT32", "shape": [-1, 16]}
    assert strict(plain.get("/v2/models/simple").content) == {
        "name": "simple",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "INPUT0", **shape}, {"name": "INPUT1", **shape}],
        "outputs": [{"name": "OUTPUT0", **shape}, {"name": "OUTPUT1", **shape}],
    }
    config = strict(plain.get("/v2/models/simple/config").content)
    assert (config["max_batch_size"], config["input"][0]["dims"]) == (0, [-1, 16])
    assert "dynamic_batching" not in config


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_simple_adds_and_subtracts(plain: httpx.Client, first: bool, second: bool, swapped: bool) -> None:
    given = [sent("INPUT0", X, binary=first), sent("INPUT1", Y, binary=second)]
    if swapped:
        given.reverse()
    asked = {
        "id": "1",
        "inputs": [described for described, _ in given],
        "outputs": [
            {"name": "OUTPUT0", "parameters": {"binary_data": first}},
            {"name": "OUTPUT1", "parameters": {"binary_data": second}},
        ],
    }
    head, found = read(post(plain, "simple", asked, *(blob for _, blobs in given for blob in blobs)))
    assert (head["id"], head["model_name"], head["model_version"]) == ("1", "simple", "1")
    assert ["data" in output for output in head["outputs"]] == [not first, not second]
    assert_equal(found["OUTPUT0"], X + Y)
    assert_equal(found["OUTPUT1"], X - Y)


def test_many_rows_are_one_request(plain: httpx.Client) -> None:
    rows = np.arange(16 * 700, dtype=np.int32).reshape(700, 16)
    given = [binary_tensor("INPUT0", rows), binary_tensor("INPUT1", rows)]
    asked = {"inputs": [described for described, _ in given], "parameters": {"binary_data_output": True}}
    _, found = read(post(plain, "simple", asked, *(blob for _, blob in given)))
    assert_equal(found["OUTPUT0"], 2 * rows)
    (stats,) = strict(plain.get("/v2/models/simple/stats").content)["model_stats"]
    assert stats["batch_stats"][0]["batch_size"] == 1


@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("datatype", IN_JSON)
def test_every_datatype_comes_through(plain: httpx.Client, datatype: str, binary_in: bool, binary_out: bool) -> None:
    values = VALUES[datatype]
    described, blobs = sent("INPUT0", values, binary=binary_in)
    assert described["datatype"] == datatype
    asked = {"inputs": [described], "parameters": {"binary_data_output": binary_out}}
    head, found = read(post(plain, f"identity_{datatype.lower()}", asked, *blobs))
    assert head["outputs"][0]["datatype"] == datatype
    assert_equal(found["OUTPUT0"], values)


@pytest.mark.parametrize("datatype", IN_JSON)
def test_every_datatype_may_be_nested(plain: httpx.Client, datatype: str) -> None:
    values = VALUES[datatype]
    asked = {"inputs": [{**tensor("INPUT0", values), "data": values.tolist()}]}
    assert_equal(read(post(plain, f"identity_{datatype.lower()}", asked))[1]["OUTPUT0"], values)


def test_every_datatype_is_tried() -> None:
    assert set(VALUES) == set(ONNX_TYPES) == set(DATATYPES.values())


def test_fp16_has_no_form_in_json(plain: httpx.Client) -> None:
    described, blob = binary_tensor("INPUT0", VALUES["FP16"])
    asked = {"inputs": [described], "parameters": {"binary_data_output": True}}
    assert_equal(read(post(plain, "identity_fp16", asked, blob))[1]["OUTPUT0"], VALUES["FP16"])
    for response in (
        post(plain, "identity_fp16", {"inputs": [described]}, blob),
        post(plain, "identity_fp16", {"inputs": [tensor("INPUT0", np.ones((1, 1), np.float16))]}),
    ):
        assert response.status_code == 400
        assert "FP16 has no form in JSON" in error_of(response).replace("FP16, which has", "FP16 has")


@pytest.mark.parametrize("datatype", VALUES)
def test_metadata_and_configuration_name_the_datatype(plain: httpx.Client, datatype: str) -> None:
    path = f"/v2/models/identity_{datatype.lower()}"
    assert strict(plain.get(path).content)["inputs"] == [{"name": "INPUT0", "datatype": datatype, "shape": [-1, -1]}]
    kind = "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
    expected = {"name": "INPUT0", "data_type": kind, "dims": [-1, -1]}
    assert strict(plain.get(f"{path}/config").content)["input"] == [expected]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0), (0, 2**31)])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BOOL", "BYTES"])
def test_tensors_without_elements_come_through(
    plain: httpx.Client, datatype: str, binary: bool, shape: tuple[int, int]
) -> None:
    values = np.empty(shape, VALUES[datatype].dtype)
    described, blobs = sent("INPUT0", values, binary=binary)
    asked = {"inputs": [described], "parameters": {"binary_data_output": binary}}
    body, _ = write(asked, *blobs)
    response = plain.post(
        f"/v2/models/identity_{datatype.lower()}/infer", content=body, headers={LENGTH: str(len(body))}
    )
    assert LENGTH not in response.headers
    head, found = read(response)
    assert (head["outputs"][0].get("parameters") == {"binary_data_size": 0}) is binary
    assert found["OUTPUT0"].shape == shape


@pytest.mark.parametrize("sizes", [[0, 2**62], [2**63, 0], [0, 10**30]])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_axes_that_no_array_can_have_are_refused(
    plain: httpx.Client, datatype: str, binary: bool, sizes: list[int]
) -> None:
    given: Head = {"name": "INPUT0", "datatype": datatype, "shape": sizes}
    body, _ = write({"inputs": [{**given, **({"parameters": {"binary_data_size": 0}} if binary else {"data": []})}]})
    response = plain.post(
        f"/v2/models/identity_{datatype.lower()}/infer", content=body, headers={LENGTH: str(len(body))}
    )
    assert response.status_code == 400, response.text
    error_of(response)


def test_nan_in_an_output_comes_through_as_bytes_and_is_an_error_in_json(plain: httpx.Client) -> None:
    asked: Head = {"inputs": [tensor("x", np.array([-1, 0, 1], np.float32))]}
    response = post(plain, "log", asked)
    assert response.status_code == 500
    assert "y holds NaN or infinity" in error_of(response)
    _, found = read(post(plain, "log", {**asked, "parameters": {"binary_data_output": True}}))
    np.testing.assert_array_equal(found["y"], np.array([np.nan, -np.inf, 0], np.float32))
    read(post(plain, "log", {"inputs": [tensor("x", np.ones(2, np.float32))]}))


def test_nan_in_an_input_comes_through_as_bytes(plain: httpx.Client) -> None:
    values = np.array([[np.nan, np.inf], [-np.inf, 1]], np.float32)
    described, blob = binary_tensor("INPUT0", values)
    asked = {"inputs": [described], "parameters": {"binary_data_output": True}}
    assert_equal(read(post(plain, "identity_fp32", asked, blob))[1]["OUTPUT0"], values)


def test_fixed_shapes_are_held_to(plain: httpx.Client) -> None:
    values = np.arange(6, dtype=np.float32)
    assert_equal(
        read(post(plain, "fixed", {"inputs": [tensor("INPUT0", values.reshape(2, 3))]}))[1]["OUTPUT0"],
        values.reshape(2, 3),
    )
    for shape in ((3, 2), (1, 3), (2, 3, 1), (6,), (0, 3)):
        given = tensor("INPUT0", np.zeros(shape, np.float32))
        response = post(plain, "fixed", {"inputs": [given]})
        assert response.status_code == 400
        assert "expected the shape [2, 3]" in error_of(response)


@pytest.mark.parametrize("model", ["unnamed", "negative"])
def test_an_axis_without_a_name_takes_any_size(plain: httpx.Client, model: str) -> None:
    assert strict(plain.get(f"/v2/models/{model}").content)["inputs"][0]["shape"] == [-1, 2]
    for rows in (1, 5, 0):
        values = np.ones((rows, 2), np.float32)
        assert_equal(read(post(plain, model, {"inputs": [tensor("INPUT0", values)]}))[1]["OUTPUT0"], values)
    assert post(plain, model, {"inputs": [tensor("INPUT0", np.ones((2, 3), np.float32))]}).status_code == 400


def test_a_scalar_has_the_shape_of_nothing(plain: httpx.Client) -> None:
    assert strict(plain.get("/v2/models/scalar").content)["inputs"][0]["shape"] == []
    for binary in (False, True):
        described, blobs = sent("INPUT0", np.array(2.5, np.float32), binary=binary)
        _, found = read(post(plain, "scalar", {"inputs": [described]}, *blobs))
        assert (found["OUTPUT0"].shape, float(found["OUTPUT0"])) == ((), 2.5)


@pytest.mark.parametrize("data", [2.5, [[2.5]], [[]], [], [1, 2], "2.5", None])
def test_a_scalar_is_one_value_in_an_array(plain: httpx.Client, data: Any) -> None:
    given = {"name": "INPUT0", "datatype": "FP32", "shape": [], "data": data}
    response = post(plain, "scalar", {"inputs": [given]})
    assert response.status_code == 400, response.text
    error_of(response)


def test_axes_of_one_name_have_one_size(plain: httpx.Client) -> None:
    twice = np.ones((2, 16), np.int32)
    response = post(plain, "simple", {"inputs": [tensor("INPUT0", X), tensor("INPUT1", twice)]})
    assert response.status_code == 400
    assert "inputs[1].shape" in error_of(response)
    response = post(plain, "two_equal", {"inputs": [tensor("INPUT0", np.ones((2, 3), np.float32))]})
    assert response.status_code == 400
    assert "[n, n]" in error_of(response)
    read(post(plain, "two_equal", {"inputs": [tensor("INPUT0", np.ones((3, 3), np.float32))]}))


def test_an_index_out_of_range_is_the_clients_error(plain: httpx.Client) -> None:
    for index in (3, -4, 2**40):
        response = post(plain, "gather", {"inputs": [tensor("index", np.array([0, index]))]})
        assert response.status_code == 400
        assert "out of data bounds" in error_of(response)
    _, found = read(post(plain, "gather", {"inputs": [tensor("index", np.array([2, -3]))]}))
    assert found["picked"].tolist() == [3, 1]


def test_what_the_graph_cannot_compute_is_an_error_and_the_next_request_works(plain: httpx.Client) -> None:
    for size in (1, 5, 7):
        response = post(plain, "fails", {"inputs": [tensor("x", np.ones(size, np.float32))]})
        assert response.status_code in (400, 500)
        error_of(response)
        read(post(plain, "fails", {"inputs": [tensor("x", np.ones(6, np.float32))]}))
    assert plain.get("/v2/health/ready").status_code == 200


def texts(*blobs: bytes) -> bytes:
    return b"".join(len(blob).to_bytes(4, "little") + blob for blob in blobs)


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (texts(b"a"), "text"),
        (texts(b"a", b"b", b"c"), "left"),
        (texts(b"a", b"b") + b"\0", "left"),
        (texts(b"a") + b"\xff\xff\xff\xff", "longer"),
        (texts(b"a") + b"\x02\0\0\0b", "longer"),
        (texts(b"a") + b"\x01\0\0", "text"),
        (texts(b"a", b"\xff"), "UTF-8"),
        (b"", "text"),
    ],
)
def test_bytes_that_are_no_texts_are_refused(plain: httpx.Client, blob: bytes, says: str) -> None:
    given = {"name": "INPUT0", "datatype": "BYTES", "shape": [1, 2], "parameters": {"binary_data_size": len(blob)}}
    body, headers = write({"inputs": [given]}, blob)
    response = plain.post("/v2/models/identity_bytes/infer", content=body, headers=headers or {LENGTH: str(len(body))})
    assert response.status_code == 400
    assert says in error_of(response)


@pytest.mark.parametrize(
    ("datatype", "data", "says"),
    [
        ("INT32", b"[1.0]", "expected INT32, got 1.0"),
        ("INT32", b"[0.5]", "expected INT32, got 0.5"),
        ("INT32", b"[true]", "expected INT32, got true"),
        ("INT32", b'["1"]', "expected INT32, got"),
        ("INT32", b"[2147483648]", "expected INT32, got 2147483648"),
        ("INT32", b"[NaN]", "NaN"),
        ("INT8", b"[-129]", "expected INT8, got -129"),
        ("INT64", b"[9223372036854775808]", "expected INT64, got 9223372036854775808"),
        ("INT64", b"[1e3]", "expected INT64, got 1000"),
        ("UINT16", b"[65536]", "expected UINT16, got 65536"),
        ("UINT64", b"[-1]", "expected UINT64, got -1"),
        ("UINT64", b"[18446744073709551616]", "expected UINT64, got 18446744073709551616"),
        ("BOOL", b"[1]", "expected BOOL, got 1"),
        ("BOOL", b'["true"]', "expected BOOL, got"),
        ("FP32", b"[3.5e38]", "expected FP32, got 3.5e"),
        ("FP32", b"[true]", "expected FP32, got true"),
        ("FP64", b"[1e309]", "FP64"),
        ("FP64", b"[Infinity]", "Infinity"),
        ("FP64", b'["NaN"]', "expected FP64, got"),
        ("BYTES", b"[1]", "expected BYTES, got 1"),
        ("BYTES", b"[null]", "expected BYTES, got null"),
        ("BYTES", b'["\xff"]', "data"),
        ("BYTES", b'["\xed\xa0\x80"]', "data"),
        ("BYTES", b'["\\ud800"]', "JSON"),
        ("BYTES", b'["a\nb"]', "JSON"),
    ],
)
def test_values_of_another_datatype_are_refused(plain: httpx.Client, datatype: str, data: bytes, says: str) -> None:
    given = {"name": "INPUT0", "datatype": datatype, "shape": [1, 1], "data": "?"}
    body, _ = write({"inputs": [given]})
    response = plain.post(f"/v2/models/identity_{datatype.lower()}/infer", content=body.replace(b'"?"', data))
    assert response.status_code == 400, response.text
    assert says in error_of(response)


def test_bytes_that_are_no_bool_are_refused(plain: httpx.Client) -> None:
    given = {"name": "INPUT0", "datatype": "BOOL", "shape": [1, 2], "parameters": {"binary_data_size": 2}}
    response = post(plain, "identity_bool", {"inputs": [given]}, b"\x01\x02")
    assert response.status_code == 400
    assert "0 or 1" in error_of(response)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([], "INPUT0"),
        ([tensor("INPUT0", X)], "INPUT1"),
        ([tensor("INPUT1", X)], "INPUT0"),
        ([tensor("INPUT0", X), tensor("INPUT0", Y)], "more than once"),
        ([tensor("INPUT0", X), tensor("INPUT1", Y), tensor("INPUT2", Y)], "INPUT2"),
        ([tensor("INPUT0", X), tensor("INPUT1", Y.astype(np.int64))], "expected INT32"),
    ],
)
def test_inputs_are_all_there_and_no_others(plain: httpx.Client, inputs: list[Head], says: str) -> None:
    response = post(plain, "simple", {"inputs": inputs})
    assert response.status_code == 400
    assert says in error_of(response)


def test_raw_bodies(plain: httpx.Client) -> None:
    def raw(model: str, body: bytes) -> httpx.Response:
        return plain.post(f"/v2/models/{model}/infer", content=body, headers={LENGTH: "0"})

    for rows in (1, 4):
        values = np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)
        assert_equal(read(raw("one_open", packed(values)))[1]["OUTPUT0"], values)
    assert_equal(read(raw("string", b"427"))[1]["OUTPUT0"], np.array(["427"], object))
    assert read(raw("scalar", packed(np.array(2.5, np.float32))))[1]["OUTPUT0"] == 2.5
    for model, body, says in (
        ("simple", packed(X) + packed(Y), "one input"),
        ("identity_fp32", b"\0" * 16, "one open axis"),
        ("fixed", b"\0" * 20, "24 bytes"),
        ("fixed", b"\0" * 48, "24 bytes"),
        ("one_open", b"", "12 bytes"),
        ("string", b"\xff", "UTF-8"),
    ):
        response = raw(model, body)
        assert response.status_code == 400
        assert says in error_of(response)


def test_classes_of_whole_numbers_are_whole(plain: httpx.Client) -> None:
    asked = {
        "inputs": [tensor("INPUT0", X), tensor("INPUT1", Y)],
        "outputs": [{"name": "OUTPUT0", "parameters": {"classification": 2}}],
    }
    _, found = read(post(plain, "simple", asked))
    assert found["OUTPUT0"].tolist() == [["20:15", "19:14"]]


def test_no_uncertainty_is_made_up(plain: httpx.Client) -> None:
    asked: Head = {"inputs": [tensor("INPUT0", X), tensor("INPUT1", Y)]}
    assert list(read(post(plain, "simple", asked))[1]) == ["OUTPUT0", "OUTPUT1"]
    for name in ("entropy", "mutual_information", "prediction"):
        response = post(plain, "simple", {**asked, "outputs": [{"name": name}]})
        assert response.status_code == 400
        assert f"unknown output '{name}'; there are: OUTPUT0, OUTPUT1" in error_of(response)


def test_predict_says_that_v2_alone_serves_it(plain: httpx.Client) -> None:
    response = plain.post("/predict", json={"model": "simple", "inputs": X.tolist()})
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["code"], error["field"]) == ("invalid_input", "model")
    assert "/v2 alone" in error["message"]
    assert plain.post("/predict", json={"model": "tiny", "inputs": [[0.5] * 6]}).status_code == 200


def test_the_catalog_and_the_index_show_it_with_the_reason(plain: httpx.Client) -> None:
    models = {model["name"]: model for model in strict(plain.get("/models").content)["models"]}
    versions = [{"version": 1, "state": "available", "loaded": True, "reason": REASON}]
    assert models["simple"] == {"name": "simple", "version": 1, "versions": versions}
    assert strict(plain.get("/models/simple").content) == models["simple"]
    version = strict(plain.get("/models/simple/versions/1").content)
    assert (version["state"], version["reason"]) == ("available", REASON)
    index = {entry["name"]: entry for entry in strict(plain.post("/v2/repository/index").content)}
    assert index["simple"] == {"name": "simple", "version": "1", "state": "READY", "reason": REASON}
    assert index["tiny"] == {"name": "tiny", "version": "1", "state": "READY"}


def test_without_the_setting_it_is_refused(tmp_path: Path) -> None:
    save_simple(tmp_path)
    with serving(tmp_path) as client:
        (version,) = client.get("/models/simple").json()["versions"]
        assert version["state"] == "rejected"
        assert "MASKSEMBLES_ALLOW_BARE_ONNX=true" in version["reason"]
        (entry,) = strict(client.post("/v2/repository/index").content)
        assert entry["state"] == "UNAVAILABLE"
        assert "MASKSEMBLES_ALLOW_BARE_ONNX=true" in entry["reason"]
        ready = client.get("/v2/models/simple/ready")
        assert (ready.status_code, strict(ready.content)) == (503, {"name": "simple", "ready": False})
        response = post(client, "simple", {"inputs": [tensor("INPUT0", X), tensor("INPUT1", Y)]})
        assert response.status_code == 404
        error_of(response)
