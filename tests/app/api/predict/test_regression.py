"""Regressors: one whose submodels predict variances, one whose don't."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app.api.predict.schemas.regression import RegressionAnswer
from app.contract.policy import Policy, Rule
from tests import artefacts, graphs
from tests.serving import serving

POLICY = Policy(rules=(Rule(action="defer", score="entropy", threshold=0.2),))
X = graphs.ROWS[:40]
VARIANCES = ("variance", "epistemic_variance", "aleatoric_variance")
SCORES = ("entropy", "expected_entropy", "mutual_information")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regressors")
    artefacts.write(folder, "numbers", *graphs.regressor(aleatoric=True, policy=POLICY))
    artefacts.write(folder, "points", *graphs.regressor(aleatoric=False))
    return folder


@pytest.fixture(scope="module")
def client(repository: Path) -> Iterator[httpx.Client]:
    with serving(repository) as opened:
        yield opened


def predict(client: httpx.Client, model: str, **asked: Any) -> list[dict[str, Any]]:
    response = client.post("/predict", json={"model": model, "inputs": X.tolist(), **asked})
    assert response.status_code == 200, response.text
    documented = RegressionAnswer.model_validate_json(response.content, strict=True)
    assert documented.model_dump(exclude_unset=True) == response.json()
    rows: list[dict[str, Any]] = response.json()["predictions"]
    return rows


def expected(repository: Path, name: str) -> dict[str, NDArray[Any]]:
    model, contract = artefacts.read(repository, name)
    return artefacts.run(model, X, [tensor.name for tensor in contract.outputs])


def test_answers_mean_variances_and_submodels(client: httpx.Client, repository: Path) -> None:
    wanted = expected(repository, "numbers")
    found = predict(client, "numbers")
    fields = ("prediction", *VARIANCES, *SCORES)
    assert all(row.keys() == {*fields, "intervals", "percentiles", "decision", "submodels"} for row in found)
    for name in fields:
        np.testing.assert_allclose([row[name] for row in found], wanted[name], rtol=1e-5, atol=1e-6)
    for part, output in (("prediction", "submodels"), ("variance", "submodel_variances")):
        values = [[one[part] for one in row["submodels"]] for row in found]
        np.testing.assert_allclose(values, wanted[output], rtol=1e-5, atol=1e-6)
    assert min(row["entropy"] for row in found) < 0
    members = np.array([[one["prediction"] for one in row["submodels"]] for row in found])
    np.testing.assert_allclose([row["prediction"] for row in found], members.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose([row["epistemic_variance"] for row in found], members.var(axis=1), rtol=1e-4, atol=1e-6)


def test_intervals_percentiles_and_decisions_follow_from_them(client: httpx.Client, repository: Path) -> None:
    calibration = artefacts.read(repository, "numbers")[1].head.calibration
    assert calibration is not None
    found = predict(client, "numbers")
    for row in found:
        assert [one["coverage"] for one in row["intervals"]] == [0.8, 0.9]
        for one, factors in zip(row["intervals"], ((1.2, 1.3), (1.6, 1.7))):
            reach = np.array(factors) * np.sqrt(row["variance"])
            np.testing.assert_allclose(one["lower"], row["prediction"] - reach, rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(one["upper"], row["prediction"] + reach, rtol=1e-4, atol=1e-6)
        for score in SCORES:
            place = np.interp(row[score], calibration.quantiles[score], np.arange(101))
            assert row["percentiles"][score] == pytest.approx(place, abs=0.006)
        action = "defer" if row["entropy"] > 0.2 else "accept"
        assert row["decision"] == {
            "action": action, "score": "entropy", "value": row["entropy"], "threshold": 0.2, "policy": "model",
        }  # fmt: skip
    assert {row["decision"]["action"] for row in found} == {"accept", "defer"}
    (narrow,) = predict(client, "numbers", coverage=0.9, outputs=["intervals"])[0]["intervals"]
    assert narrow == found[0]["intervals"][1]


def test_without_variances_there_are_no_scores(client: httpx.Client, repository: Path) -> None:
    wanted = expected(repository, "points")
    found = predict(client, "points")
    fields = {"prediction", "variance", "epistemic_variance", "intervals", "percentiles", "decision", "submodels"}
    assert all(row.keys() == fields for row in found)
    assert all(row["percentiles"] is row["decision"] is None for row in found)
    assert {name for row in found for one in row["submodels"] for name in one} == {"prediction"}
    np.testing.assert_allclose([row["variance"] for row in found], wanted["epistemic_variance"], rtol=1e-5, atol=1e-6)
    assert predict(client, "points", outputs=["decision"])[0] == {"decision": None}


@pytest.mark.parametrize(
    ("model", "asked", "field", "message"),
    [
        ("numbers", {"outputs": ["probabilities"]}, "outputs[0]", "expected some of prediction, variance, "),
        ("numbers", {"outputs": ["logits"]}, "outputs[0]", "unknown output 'logits'"),
        ("points", {"outputs": ["entropy"]}, "outputs[0]", "unknown output 'entropy'"),
        ("points", {"policy": "defer entropy>1"}, "policy", "no score 'entropy'; it has none"),
        ("numbers", {"policy": "defer energy>1"}, "policy", "no score 'energy'; it has entropy"),
        ("numbers", {"coverage": 0.5}, "coverage", "there are: 0.8, 0.9"),
    ],
)
def test_what_it_has_not_is_refused(
    client: httpx.Client, model: str, asked: dict[str, Any], field: str, message: str
) -> None:
    response = client.post("/predict", json={"model": model, "inputs": X[:1].tolist(), **asked})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (422, "invalid_input", field)
    assert message in error["message"]


@pytest.mark.parametrize("model", ["numbers", "points"])
def test_arrays_have_what_json_has(client: httpx.Client, model: str) -> None:
    body = io.BytesIO()
    np.save(body, X)
    headers = {"content-type": "application/x-npy", "accept": "application/x-npz"}
    response = client.post("/predict", params={"model": model}, content=body.getvalue(), headers=headers)
    with np.load(io.BytesIO(response.content), allow_pickle=False) as opened:
        found = dict(opened)
    rows = predict(client, model)
    ends = [[[one["lower"], one["upper"]] for one in row["intervals"]] for row in rows]
    np.testing.assert_array_equal(found["intervals"], np.array(ends, np.float32))
    assert found["intervals.coverage"].tolist() == [0.8, 0.9]
    assert ("submodel_variances" in found) == ("decision" in found) == (model == "numbers")
    for name in set(rows[0]) & set(found) - {"submodels", "intervals", "decision"}:
        np.testing.assert_array_equal(found[name], np.array([row[name] for row in rows], np.float32))


def test_a_variance_that_makes_no_interval_is_an_error(tmp_path: Path) -> None:
    model, contract = graphs.regressor(aleatoric=False)
    (node,) = (node for node in model.graph.node if "variance" in node.output)
    node.op_type = "Neg"
    artefacts.write(tmp_path, "negative", model, contract)
    with serving(tmp_path) as client:
        response = client.post("/predict", json={"inputs": X[:2].tolist()})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "output_not_finite")


def test_the_catalogue_names_the_targets(client: httpx.Client) -> None:
    (summary,) = client.get("/models/numbers").json()["heads"]
    assert summary["task"] == "regression"
    assert summary["targets"] == [{"name": "price", "unit": "euro"}, {"name": "weight", "unit": "kg"}]
    assert "labels" not in summary
    contract = client.get("/models/numbers/versions/1").json()["contract"]
    (head,) = contract["heads"]
    assert head["calibration"]["intervals"][0]["factors"] == [1.2, 1.3]
    assert head["policy"]["rules"][0]["score"] == "entropy"


def test_entropies_below_zero_have_their_buckets_too(client: httpx.Client) -> None:
    predict(client, "numbers", outputs=["prediction"])
    predict(client, "points")
    lines = client.get("/metrics").text.splitlines()
    buckets = [line for line in lines if line.startswith("masksembles_entropy_nats_bucket")]
    assert all('model="numbers"' in line for line in buckets)
    assert any('le="-' in line for line in buckets)
    assert float(buckets[-1].rpartition(" ")[2]) >= len(X)


@pytest.mark.parametrize("model", ["numbers", "points"])
def test_the_inference_protocol_serves_them(client: httpx.Client, repository: Path, model: str) -> None:
    wanted = expected(repository, model)
    metadata = client.get(f"/v2/models/{model}").json()
    assert [output["name"] for output in metadata["outputs"]] == list(wanted)
    assert metadata["outputs"][1]["shape"] == [-1, 2, 2]
    tensor = {"name": "input", "datatype": "FP32", "shape": list(X.shape), "data": X.ravel().tolist()}
    answer = client.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]}).json()
    for output in answer["outputs"]:
        found = np.reshape(output["data"], output["shape"])
        np.testing.assert_allclose(found, wanted[output["name"]], rtol=1e-5, atol=1e-6)
    assert client.get(f"/v2/models/{model}/config").status_code == 200
    asked = {"inputs": [tensor], "outputs": [{"name": "prediction", "parameters": {"classification": 1}}]}
    response = client.post(f"/v2/models/{model}/infer", json=asked)
    assert response.status_code == 400
    assert "prediction is of a head without labels" in response.json()["error"]
