"""A model with a picture and a table row as inputs and two heads, and one of tokens with marks."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.contract.policy import Policy, Rule
from tests import artefacts, dense_graphs
from tests.dense_graphs import EMBEDDING, LABELS, K, N
from tests.serving import serving

ROWS = 3
PICTURES = np.random.default_rng(0).integers(0, 256, (ROWS, 1, 2, 2)).astype(np.uint8)
TABLE = np.random.default_rng(1).normal(0, 1, (ROWS, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several")
    model, contract = dense_graphs.two_heads()
    policy = Policy(rules=(Rule(action="defer", score="entropy", threshold=0.9),))
    artefacts.write(folder, "car", model, contract.with_head(contract.heads[0], policy=policy))
    artefacts.write(folder, "tokens", *dense_graphs.tokens())
    return folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[httpx.Client]:
    with serving(folder, max_rows=8, max_body_bytes=100_000, default_model="car") as opened:
        yield opened


def weights() -> dict[str, NDArray[np.float32]]:
    model, _ = dense_graphs.two_heads()
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def wanted() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean probabilities of the kind [B, K], and the price [B, 1]."""
    joined = np.concatenate([PICTURES.reshape(ROWS, 4) / 255, TABLE], axis=1)
    of = weights()
    kinds = dense_graphs.probabilities((joined @ of["kinds"]).reshape(ROWS, N, K)).mean(axis=1)
    return kinds, (joined @ of["prices"]).mean(axis=1, keepdims=True)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def npy(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def check(answer: httpx.Response) -> None:
    assert answer.status_code == 200, answer.text
    kinds, prices = wanted()
    rows = [row["heads"] for row in answer.json()["predictions"]]
    np.testing.assert_allclose([row["kind"]["probabilities"] for row in rows], kinds, atol=1e-5)
    np.testing.assert_allclose([row["price"]["prediction"] for row in rows], prices, atol=1e-5)


def test_inputs_come_by_name_in_json_and_answers_by_head(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"inputs": {"table": TABLE.tolist(), "picture": PICTURES.tolist()}})
    check(answer)
    found = answer.json()
    assert found["model"]["task"] == "several"
    row = found["predictions"][0]["heads"]
    assert row["kind"]["task"] == "classification"
    assert row["kind"]["label"] in LABELS
    assert row["kind"]["decision"]["policy"] == "model"
    assert row["price"]["task"] == "regression"
    assert row["price"]["decision"] is None


def test_inputs_come_as_an_archive(client: httpx.Client) -> None:
    content = npz(picture=PICTURES, table=TABLE.astype(np.float64))
    check(client.post("/predict", content=content, headers={"Content-Type": "application/x-npz"}))


def test_inputs_come_as_parts_named_after_them(client: httpx.Client) -> None:
    pictures = [("picture", png(row[0])) for row in PICTURES]
    check(client.post("/predict", files=[*pictures, ("table", npy(TABLE))]))
    check(client.post("/predict", files=[*pictures, ("table", ("t.json", json.dumps(TABLE.tolist())))]))
    check(client.post("/predict", files=pictures, data={"table": json.dumps(TABLE.tolist()), "model": "car"}))


def test_v2_takes_all_inputs_and_names_outputs_by_head(client: httpx.Client) -> None:
    request = {
        "inputs": [
            {"name": "picture", "datatype": "UINT8", "shape": [ROWS, 1, 2, 2], "data": PICTURES.ravel().tolist()},
            {"name": "table", "datatype": "FP32", "shape": [ROWS, 3], "data": TABLE.ravel().tolist()},
        ],
        "outputs": [{"name": "kind.probabilities"}, {"name": "price.prediction"}],
    }
    found = client.post("/v2/models/car/infer", json=request).json()["outputs"]
    kinds, prices = wanted()
    np.testing.assert_allclose(np.array(found[0]["data"]).reshape(ROWS, K), kinds, atol=1e-5)
    np.testing.assert_allclose(found[1]["data"], prices.ravel(), atol=1e-5)
    request["outputs"] = [{"name": "kind.probabilities", "parameters": {"classification": 1}}]
    (top,) = client.post("/v2/models/car/infer", json=request).json()["outputs"]
    assert top["data"][0].split(":")[2] == LABELS[int(kinds[0].argmax())]
    request["outputs"] = [{"name": "price.prediction", "parameters": {"classification": 1}}]
    assert client.post("/v2/models/car/infer", json=request).status_code == 400


@pytest.mark.parametrize(
    ("outputs", "there"),
    [
        (["kind.entropy"], {"kind": ["task", "entropy"]}),
        (["entropy"], {"kind": ["task", "entropy"]}),
        (["prediction"], {"kind": ["task", "label", "index", "confidence"], "price": ["task", "prediction"]}),
        (["price.variance", "kind.energy"], {"kind": ["task", "energy"], "price": ["task", "variance"]}),
    ],
)
def test_outputs_are_chosen_of_one_head_or_of_all(
    client: httpx.Client, outputs: list[str], there: dict[str, list[str]]
) -> None:
    request = {"inputs": {"table": TABLE.tolist(), "picture": PICTURES.tolist()}, "outputs": outputs}
    row = client.post("/predict", json=request).json()["predictions"][0]["heads"]
    assert {head: list(answer) for head, answer in row.items()} == there


def test_answers_come_as_arrays_named_after_their_head(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/x-npz", "Accept": "application/x-npz"}
    answer = client.post("/predict", content=npz(picture=PICTURES, table=TABLE), headers=headers)
    found = np.load(io.BytesIO(answer.content))
    np.testing.assert_allclose(found["kind.probabilities"], wanted()[0], atol=1e-5)
    np.testing.assert_allclose(found["price.prediction"], wanted()[1], atol=1e-5)
    assert found["kind.decision"].shape == (ROWS,)


def test_a_policy_may_be_about_one_head(client: httpx.Client) -> None:
    request = {"inputs": {"table": TABLE.tolist(), "picture": PICTURES.tolist()}}
    for policy in ("reject kind.entropy>0", "reject entropy>0"):
        row = client.post("/predict", json={**request, "policy": policy}).json()["predictions"][0]["heads"]
        assert row["kind"]["decision"]["action"] == "reject"
        assert row["kind"]["decision"]["policy"] == "request"
    for policy, words in (("reject price.entropy>0", "no score"), ("reject speed.entropy>0", "no head 'speed'")):
        error = client.post("/predict", json={**request, "policy": policy}).json()["error"]
        assert error["field"] == "policy"
        assert words in error["message"]


def test_decisions_are_counted_by_head(client: httpx.Client) -> None:
    client.post("/predict", json={"inputs": {"table": TABLE.tolist(), "picture": PICTURES.tolist()}})
    assert (
        'masksembles_decisions_total{action="accept",head="kind",model="car",version="1"}'
        in client.get("/metrics").text
    )


WRONG: list[tuple[Any, str, str]] = [
    (TABLE.tolist(), "inputs", "each input by its name; there are: picture, table"),
    ({"table": TABLE.tolist()}, "inputs.picture", "expected this input"),
    ({"table": TABLE.tolist(), "picture": PICTURES.tolist(), "speed": [1]}, "inputs.speed", "unknown input"),
    ({"table": TABLE[:2].tolist(), "picture": PICTURES.tolist()}, "inputs.picture", "2 rows"),
    ({"table": [[1, 2, 11]], "picture": PICTURES[:1].tolist()}, "inputs.table[0][2]", "[-10, 10]"),
    ({"table": [[1, 2]], "picture": PICTURES[:1].tolist()}, "inputs.table[0]", "expected 3"),
    ({"table": [[1, 2, 3]], "picture": [[[[0.5, 1], [2, 3]]]]}, "inputs.picture[0][0][0][0]", "int"),
    ({"table": [[1, 2, 3]], "picture": 4}, "inputs.picture", "array"),
    ({}, "inputs.picture", "expected this input"),
]


@pytest.mark.parametrize(("inputs", "field", "words"), WRONG)
def test_a_wrong_input_is_named(client: httpx.Client, inputs: Any, field: str, words: str) -> None:
    answer = client.post("/predict", json={"inputs": inputs})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == field
    assert words in error["message"]


IDS = [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]]


def of_tokens(rows: list[list[int]]) -> NDArray[np.float64]:
    means = np.stack([EMBEDDING[row].mean(axis=0) for row in rows])
    return dense_graphs.probabilities(means.reshape(len(rows), N, K)).mean(axis=1)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 16, 24])
def test_marks_may_be_left_out_and_padding_changes_nothing(client: httpx.Client, length: int) -> None:
    ids = np.random.default_rng(length).integers(0, 9, (2, length))
    request = {"model": "tokens", "outputs": ["probabilities"], "inputs": {"ids": ids.tolist()}}
    found = [row["probabilities"] for row in client.post("/predict", json=request).json()["predictions"]]
    np.testing.assert_allclose(found, of_tokens(ids.tolist()), atol=1e-5)
    marked = {
        "ids": [*ids.tolist(), [1] + [9] * (length - 1)],
        "real": [[True] * length] * 2 + [[1] + [0] * (length - 1)],
    }
    answer = client.post("/predict", json={**request, "inputs": marked})
    np.testing.assert_allclose(
        [row["probabilities"] for row in answer.json()["predictions"]], of_tokens([*ids.tolist(), [1]]), atol=1e-5
    )


def test_v2_fills_in_marks_too(client: httpx.Client) -> None:
    tensor = {"name": "ids", "datatype": "INT64", "shape": [2, 5], "data": IDS}
    request = {"inputs": [tensor], "outputs": [{"name": "probabilities"}]}
    (found,) = client.post("/v2/models/tokens/infer", json=request).json()["outputs"]
    np.testing.assert_allclose(np.array(found["data"]).reshape(2, K), of_tokens(IDS), atol=1e-5)


WRONG_TOKENS: list[tuple[Any, str, str]] = [
    ({"ids": [[1, 2, 10]]}, "inputs.ids[0][2]", "whole numbers in [0, 9]"),
    ({"ids": [[1, 2, -1]]}, "inputs.ids[0][2]", "[0, 9]"),
    ({"ids": [[1, 2, 2.5]]}, "inputs.ids[0][2]", "int"),
    ({"ids": [[1] * 25]}, "inputs.ids[0]", "1 to 24"),
    ({"ids": [[1, 2], [3]]}, "inputs.ids[1]", "expected 2"),
    ({"ids": [[1, 2]], "real": [[True, True, True]]}, "inputs.real[0]", "same T"),
    ({"ids": [[1, 2]], "real": [[True, 2]]}, "inputs.real[0][1]", ""),
    ({"real": [[True, True]]}, "inputs.ids", "expected this input"),
    ({"ids": [[1, 2], [3, 4]], "real": [[True, False], [0, 0]]}, "inputs.real[1]", "at least one real entry"),
]


@pytest.mark.parametrize(("inputs", "field", "words"), WRONG_TOKENS)
def test_wrong_tokens_are_named(client: httpx.Client, inputs: Any, field: str, words: str) -> None:
    answer = client.post("/predict", json={"model": "tokens", "inputs": inputs})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == field
    assert words in error["message"]


def test_v2_names_sizes_of_one_letter_that_differ(client: httpx.Client) -> None:
    ids = {"name": "ids", "datatype": "INT64", "shape": [1, 2], "data": [1, 2]}
    real = {"name": "real", "datatype": "BOOL", "shape": [1, 3], "data": [True, True, True]}
    answer = client.post("/v2/models/tokens/infer", json={"inputs": [ids, real]})
    assert answer.status_code == 400
    assert "inputs[1].shape" in answer.json()["error"]
