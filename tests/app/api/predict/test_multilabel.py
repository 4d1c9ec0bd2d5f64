"""A multilabel model as it is served: every number of /predict and v2 against the graph itself."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app.api.predict.schemas.multilabel import MultilabelAnswer
from app.contract.calibration import Calibration, PredictionSet
from app.contract.policy import Policy, Rule
from tests import artefacts, graphs
from tests.serving import serving

X = graphs.ROWS[:40]
SCORES = ("entropy", "expected_entropy", "mutual_information")
SETS = (
    PredictionSet(coverage=0.9, least_probability=0.7, rows=100),
    PredictionSet(coverage=0.95, least_probability=0.05, rows=100),
)
POLICY = Policy(rules=(Rule(action="defer", score="entropy", threshold=0.62),))
Outputs = dict[str, NDArray[Any]]


def table_of(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(np.quantile(values, np.linspace(0, 1, 101)).tolist())


@pytest.fixture(scope="module")
def expected() -> Outputs:
    model, contract = graphs.multilabel()
    return artefacts.run(model, X, [tensor.name for tensor in contract.outputs])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, expected: Outputs) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("multilabel")
    model, contract = graphs.multilabel()
    artefacts.write(folder, "plain", model, contract)
    quantiles = {name: table_of(expected[name].mean(axis=1)) for name in SCORES}
    fitted = Calibration(data="random", rows=40, temperature=1, quantiles=quantiles, prediction_sets=SETS)
    artefacts.write(folder, "fruit", model, contract.with_head(contract.head, calibration=fitted, policy=POLICY))
    with serving(folder) as opened:
        yield opened


def predict(client: httpx.Client, model: str = "fruit", **asked: Any) -> list[dict[str, Any]]:
    response = client.post("/predict", json={"model": model, "inputs": X.tolist(), **asked})
    assert response.status_code == 200, response.text
    documented = MultilabelAnswer.model_validate_json(response.content, strict=True)
    assert documented.model_dump(exclude_unset=True) == response.json()
    rows: list[dict[str, Any]] = response.json()["predictions"]
    return rows


def test_a_row_has_the_labels_that_are_on_and_numbers_for_each(client: httpx.Client, expected: Outputs) -> None:
    found = predict(client)
    names = np.array(["red", "round", "ripe"])
    assert {len(row["labels"]) for row in found} >= {0, 1, 2}
    for index, row in enumerate(found):
        assert list(row) == [
            "labels", "probabilities", *SCORES, "row_scores", "percentiles", "prediction_set", "decision", "submodels",
        ]  # fmt: skip
        assert row["labels"] == names[expected["probabilities"][index] > 0.5].tolist()
        for name in ("probabilities", *SCORES):
            np.testing.assert_allclose(row[name], expected[name][index], rtol=1e-5, atol=1e-6)
        for submodel, probabilities in zip(row["submodels"], expected["submodels"][index], strict=True):
            np.testing.assert_allclose(submodel["probabilities"], probabilities, rtol=1e-5, atol=1e-6)
            assert submodel["labels"] == names[probabilities > 0.5].tolist()


def test_scores_of_rows_make_percentiles_and_decisions(client: httpx.Client, expected: Outputs) -> None:
    means = {name: expected[name].mean(axis=1) for name in SCORES}
    found = predict(client, outputs=["row_scores", "percentiles", "decision"])
    for index, row in enumerate(found):
        for name in SCORES:
            assert row["row_scores"][name] == pytest.approx(means[name][index], rel=1e-5, abs=1e-6)
            place = np.interp(row["row_scores"][name], table_of(means[name]), np.arange(101))
            assert row["percentiles"][name] == pytest.approx(place, abs=0.1)
        assert row["decision"]["value"] == row["row_scores"]["entropy"]
        assert row["decision"]["action"] == ("defer" if means["entropy"][index] > 0.62 else "accept")
    assert {row["decision"]["action"] for row in found} == {"accept", "defer"}
    stricter = predict(client, outputs=["decision"], policy="reject mutual_information>p50")
    rejected = [row["decision"]["action"] == "reject" for row in stricter]
    assert np.mean(rejected) == pytest.approx(0.5, abs=0.05)


def test_a_set_names_probable_labels_first_and_may_be_empty(client: httpx.Client, expected: Outputs) -> None:
    names = np.array(["red", "round", "ripe"])
    for asked, one in ((None, SETS[0]), (0.95, SETS[1])):
        found = predict(client, outputs=["prediction_set"], coverage=asked)
        for row, probabilities in zip(found, expected["probabilities"]):
            order = np.argsort(-probabilities)
            wanted = names[order][probabilities[order] >= one.least_probability - 1e-6].tolist()
            assert row["prediction_set"] == {"coverage": one.coverage, "labels": wanted}
    assert [] in [row["prediction_set"]["labels"] for row in predict(client, outputs=["prediction_set"])]
    assert predict(client, "plain", outputs=["prediction_set", "percentiles", "decision"])[0] == {
        "percentiles": None, "prediction_set": None, "decision": None,
    }  # fmt: skip


def test_arrays(client: httpx.Client, expected: Outputs) -> None:
    asked = {"model": "fruit", "inputs": X.tolist()}
    answer = client.post("/predict", json=asked, headers={"Accept": "application/x-npz"})
    found = np.load(io.BytesIO(answer.content))
    for name in ("prediction", "probabilities", "submodels", *SCORES):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["row_scores.entropy"], expected["entropy"].mean(axis=1), rtol=1e-5)
    assert found["prediction_set"].tolist() == (expected["probabilities"] >= 0.7 - 1e-6).tolist()
    assert found["prediction_set.coverage"] == 0.9
    assert found["percentiles.entropy"].shape == found["decision"].shape == (40,)


def test_tensors_of_v2_and_the_classification_extension(client: httpx.Client, expected: Outputs) -> None:
    given = {"name": "input", "datatype": "FP32", "shape": list(X.shape), "data": X.ravel().tolist()}
    answer = client.post("/v2/models/fruit/infer", json={"inputs": [given]}).raise_for_status().json()
    found = {one["name"]: np.array(one["data"]).reshape(one["shape"]) for one in answer["outputs"]}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)
    first = {"name": "probabilities", "parameters": {"classification": 1}}
    answer = client.post("/v2/models/fruit/infer", json={"inputs": [given], "outputs": [first]})
    names = [text.split(":")[2] for text in answer.json()["outputs"][0]["data"]]
    assert names == [("red", "round", "ripe")[index] for index in expected["probabilities"].argmax(axis=1)]


def test_the_example_of_the_document_is_an_answer() -> None:
    (example,) = MultilabelAnswer.model_json_schema()["examples"]
    answer = MultilabelAnswer.model_validate(example)
    assert answer.model_dump(exclude_unset=True) == example
    (row,) = answer.predictions
    assert row.row_scores is not None
    assert row.entropy is not None
    assert row.row_scores.entropy == pytest.approx(np.mean(row.entropy), abs=1e-3)
    assert row.labels == ["even", "has-a-loop"]


def test_its_metrics_are_those_of_rows(client: httpx.Client) -> None:
    predict(client)
    lines = client.get("/metrics").text.splitlines()
    of = 'model="fruit",version="1"}'
    count, rows, total = (
        next(float(line.split()[1]) for line in lines if line.startswith(f"masksembles_{name}{{") and of in line)
        for name in ("entropy_nats_count", "batch_rows_sum", "entropy_nats_sum")
    )
    assert count == rows > 0  # once a row, and not once a label
    assert 0 < total / count < np.log(2)


@pytest.mark.parametrize("asked", [{"outputs": ["energy"]}, {"policy": "defer energy>1"}, {"coverage": 0.5}])
def test_what_it_has_not_is_refused(client: httpx.Client, asked: dict[str, Any]) -> None:
    answer = client.post("/predict", json={"model": "fruit", "inputs": X[:1].tolist(), **asked})
    assert answer.status_code == 422
    assert answer.json()["error"]["field"].startswith(next(iter(asked)))


def test_its_labels_are_listed(client: httpx.Client) -> None:
    assert client.get("/models/fruit").json()["heads"][0]["labels"] == ["red", "round", "ripe"]
