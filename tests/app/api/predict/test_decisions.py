"""Percentiles, prediction sets and decisions, against plain Python over the artefact's contract and its outputs."""

import io
import json
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest

from app.api.predict.schemas.classification import ClassificationAnswer
from app.contract.calibration import PredictionSet
from app.contract.policy import Policy, Rule
from app.failures import StartError
from tests import artefacts, graphs
from tests.app.api.test_metrics import metrics
from tests.pictures import digits
from tests.serving import open_models, serving

OWN = Policy(
    rules=(
        Rule(action="reject", score="energy", threshold=-4.0),
        Rule(action="defer", score="entropy", threshold=0.3),
    )
)
SETS = (
    PredictionSet(coverage=0.9, least_probability=0.4, rows=300),
    PredictionSet(coverage=0.99, least_probability=0.02, rows=300),
)
SCORES = ("confidence", "entropy", "expected_entropy", "mutual_information", "energy")


def decided(digits_repository: Path, folder: Path, name: str, own: Policy | None = OWN) -> None:
    """Writes the next version of a model with prediction sets and a policy."""
    model, contract = artefacts.read(digits_repository, "digits")
    assert contract.head.calibration is not None
    calibration = contract.head.calibration.model_copy(update={"prediction_sets": SETS})
    artefacts.write(folder, name, model, contract.with_head(contract.head, calibration=calibration, policy=own))


@pytest.fixture(scope="module")
def repository(digits_repository: Path, tiny_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decided")
    decided(digits_repository, folder, "own")
    decided(digits_repository, folder, "other")
    shutil.copytree(tiny_repository / "tiny", folder / "tiny")
    return folder


@pytest.fixture(scope="module")
def client(repository: Path) -> Iterator[httpx.Client]:
    with serving(repository, policy="other=reject confidence<p20, defer mutual_information>p50") as opened:
        yield opened


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    """Some like those of the calibration, and some fainter than all of them."""
    return np.concatenate([digits()[:60], digits()[:20] / 5])


def predict(client: httpx.Client, inputs: np.ndarray, model: str = "own", **asked: Any) -> list[dict[str, Any]]:
    response = client.post("/predict", json={"model": model, "inputs": inputs.tolist(), **asked})
    assert response.status_code == 200, response.text
    documented = ClassificationAnswer.model_validate_json(response.content, strict=True)
    assert documented.model_dump(exclude_unset=True) == response.json()
    rows: list[dict[str, Any]] = response.json()["predictions"]
    return rows


def arrays(client: httpx.Client, inputs: np.ndarray, **query: Any) -> dict[str, np.ndarray]:
    stream = io.BytesIO()
    np.save(stream, inputs)
    headers = {"content-type": "application/x-npy", "accept": "application/x-npz"}
    response = client.post("/predict", content=stream.getvalue(), params=query, headers=headers)
    assert response.status_code == 200, response.text
    with np.load(io.BytesIO(response.content), allow_pickle=False) as found:
        return dict(found)


def written(repository: Path, name: str) -> dict[str, Any]:
    """The head of the contract as the file has it."""
    (entry,) = onnx.load(repository / name / "1" / "model.onnx").metadata_props
    (head,) = json.loads(entry.value)["heads"]
    return head


def scores_of(row: dict[str, Any]) -> dict[str, float]:
    return {score: row[score] for score in SCORES}


def first_rule(row: dict[str, Any], rules: list[tuple[str, str, float]]) -> tuple[str, str, float]:
    """Action, score and threshold in plain Python."""
    for action, score, threshold in rules:
        if row[score] < threshold if score == "confidence" else row[score] > threshold:
            return action, score, threshold
    return "accept", *rules[-1][1:]


def told(row: dict[str, Any]) -> tuple[str, str, float]:
    return row["decision"]["action"], row["decision"]["score"], row["decision"]["threshold"]


def test_percentiles_are_where_the_scores_lie_in_the_contract(
    client: httpx.Client, repository: Path, inputs: np.ndarray
) -> None:
    tables = written(repository, "own")["calibration"]["quantiles"]
    found = predict(client, inputs)
    for row in found:
        assert row["percentiles"].keys() == set(SCORES)
        for score, value in scores_of(row).items():
            table = tables[score]
            at = bisect_right(table, value) - 1
            inside = 0 <= at < 100
            expected = at + (value - table[at]) / (table[at + 1] - table[at]) if inside else 0 if at < 0 else 100
            assert row["percentiles"][score] == pytest.approx(expected, abs=0.006 + 1e-3)
    assert {row["percentiles"]["energy"] for row in found} > {100}


def test_the_models_own_policy_decides(client: httpx.Client, repository: Path, inputs: np.ndarray) -> None:
    rules = [tuple(rule.values()) for rule in written(repository, "own")["policy"]["rules"]]
    found = predict(client, inputs)
    for row in found:
        assert told(row) == first_rule(row, rules)
        assert row["decision"]["value"] == row[row["decision"]["score"]]
        assert row["decision"]["policy"] == "model"
    assert {row["decision"]["action"] for row in found} == {"accept", "defer", "reject"}
    assert arrays(client, inputs, model="own")["decision"].tolist() == [row["decision"]["action"] for row in found]


def test_the_operators_policy_takes_its_place(client: httpx.Client, repository: Path, inputs: np.ndarray) -> None:
    tables = written(repository, "other")["calibration"]["quantiles"]
    rules = [("reject", "confidence", tables["confidence"][20])]
    rules += [("defer", "mutual_information", tables["mutual_information"][50])]
    found = predict(client, inputs, "other")
    assert [told(row) for row in found] == [first_rule(row, rules) for row in found]
    assert {row["decision"]["policy"] for row in found} == {"operator"}
    assert {row["decision"]["action"] for row in found} == {"accept", "defer", "reject"}


@pytest.mark.parametrize("model", ["own", "other"])
@pytest.mark.parametrize("text", ["defer entropy>0.01", "reject energy>100", "defer energy>p40, reject confidence<2"])
def test_a_request_can_only_make_the_decision_stricter(
    client: httpx.Client, inputs: np.ndarray, model: str, text: str
) -> None:
    severity = {"accept": 0, "defer": 1, "reject": 2}
    before = predict(client, inputs, model)
    after = predict(client, inputs, model, policy=text, outputs=["decision"])
    assert [row.keys() for row in after] == [{"decision"}] * len(inputs)
    for old, new in zip(before, after):
        if new["decision"]["policy"] == "request":
            assert severity[new["decision"]["action"]] > severity[old["decision"]["action"]]
        else:
            assert new["decision"] == old["decision"]
    assert text == "reject energy>100" or "request" in {row["decision"]["policy"] for row in after}


def test_a_request_decides_alone_where_nobody_else_has_a_policy(client: httpx.Client) -> None:
    rows = np.full((1, 6), 0.5)
    (plain,) = predict(client, rows, "tiny")
    assert (plain["percentiles"], plain["prediction_set"], plain["decision"]) == (None, None, None)
    (row,) = predict(client, rows, "tiny", policy="defer entropy>9")
    assert row["decision"] == {
        "action": "accept", "score": "entropy", "value": row["entropy"], "threshold": 9.0, "policy": "request",
    }  # fmt: skip
    outputs = ["percentiles", "prediction_set", "decision"]
    (row,) = predict(client, rows, "tiny", outputs=outputs)
    assert row == dict.fromkeys(outputs)


def counted(client: httpx.Client, model: str) -> Counter[str]:
    """What the metrics say of a model's rows, by action."""
    found = {dict(labels)["action"]: value for (name, labels), value in metrics(client).items()
             if name == "masksembles_decisions_total" and dict(labels)["model"] == model}  # fmt: skip
    return Counter({action: int(value) for action, value in found.items()})


@pytest.mark.parametrize("model", ["own", "other"])
def test_the_metrics_count_what_the_policy_says_of_the_rows_answered(
    client: httpx.Client, inputs: np.ndarray, model: str
) -> None:
    own = Counter(row["decision"]["action"] for row in predict(client, inputs, model))
    assert len(own) == 3
    before = counted(client, model)
    predict(client, inputs, model)
    assert counted(client, model) - before == own
    arrays(client, inputs, model=model)
    predict(client, inputs, model, policy="reject entropy>-1")  # a client's wish says nothing about the inputs
    assert counted(client, model) - before == Counter({action: 3 * rows for action, rows in own.items()})
    predict(client, inputs, model, outputs=["entropy"])
    assert client.post("/predict", json={"model": model, "inputs": [[2.0]]}).status_code == 422
    assert counted(client, model) - before == Counter({action: 3 * rows for action, rows in own.items()})


def test_the_metrics_count_nothing_where_there_is_no_policy(client: httpx.Client) -> None:
    predict(client, np.full((1, 6), 0.5), "tiny", policy="defer entropy>9")
    assert counted(client, "tiny") == Counter()


@pytest.mark.parametrize("load", ["start", "lazy"])
def test_the_catalog_shows_the_policy_in_force(repository: Path, load: str) -> None:
    with serving(repository, policy="other=reject confidence<p20, defer entropy>0.5", load=load) as client:
        other, own, tiny = client.get("/models").json()["models"]
        assert [model["versions"][0]["loaded"] for model in (other, own, tiny)] == [load == "start"] * 3
        assert own["heads"][0]["policy"] == {"source": "model", "rules": written(repository, "own")["policy"]["rules"]}
        least = written(repository, "other")["calibration"]["quantiles"]["confidence"][20]
        assert other["heads"][0]["policy"] == {
            "source": "operator",
            "rules": [
                {"action": "reject", "score": "confidence", "threshold": least},
                {"action": "defer", "score": "entropy", "threshold": 0.5},
            ],
        }
        assert "policy" not in tiny["heads"][0]
        assert [client.get(f"/models/{model['name']}").json() for model in (other, own, tiny)] == [other, own, tiny]


def test_a_version_that_will_not_keep_it_shows_none(repository: Path, tmp_path: Path) -> None:
    shutil.copytree(repository / "own", tmp_path / "own")
    opened = open_models(tmp_path, policy="*=defer entropy>p95", load="lazy")
    model, contract = artefacts.read(tmp_path, "own")
    artefacts.write(tmp_path, "own", model, contract.with_head(contract.head, calibration=None))
    opened.refresh()
    with serving(tmp_path, models=opened) as client:
        before = client.get("/models/own").json()
        assert (before["version"], "policy" in before["heads"][0]) == (2, False)
        predict(client, np.zeros((1, 1, 8, 8), np.float32))
        after = client.get("/models/own").json()
        assert (after["version"], after["heads"][0]["policy"]["source"]) == (1, "operator")


@pytest.mark.parametrize(("coverage", "least"), [(None, 0.4), (0.9, 0.4), (0.99, 0.02)])
def test_a_prediction_set_names_the_probable_classes(
    client: httpx.Client, repository: Path, inputs: np.ndarray, coverage: float | None, least: float
) -> None:
    labels = written(repository, "own")["labels"]
    asked: dict[str, Any] = {} if coverage is None else {"coverage": coverage}
    found = predict(client, inputs, **asked)
    for row in found:
        order = sorted(range(10), key=lambda index: -row["probabilities"][index])
        inside = [index for index in order if row["probabilities"][index] >= least] or order[:1]
        assert row["prediction_set"] == {"coverage": coverage or 0.9, "labels": [labels[index] for index in inside]}
        assert row["prediction_set"]["labels"][0] == row["label"]
    as_arrays = arrays(client, inputs, model="own", **asked)
    assert as_arrays["prediction_set.coverage"] == (coverage or 0.9)
    for row, inside in zip(found, as_arrays["prediction_set"]):
        assert {labels[index] for index in np.flatnonzero(inside)} == set(row["prediction_set"]["labels"])


@pytest.mark.parametrize(
    ("model", "asked", "field", "message"),
    [
        ("own", {"policy": "defer doubt>1"}, "policy", "unknown score 'doubt'"),
        ("own", {"policy": ""}, "policy", "expected ACTION"),
        ("own", {"policy": "none"}, "policy", "expected ACTION"),
        ("tiny", {"policy": "defer entropy>p95"}, "policy", "not calibrated"),
        ("own", {"policy": "defer entropy>1," * 100}, "policy", "length <= 1000"),
        ("own", {"policy": 1}, "policy", "Expected `str | null`"),
        ("own", {"coverage": 0.5}, "coverage", "there are: 0.9, 0.99"),
        ("tiny", {"coverage": 0.9}, "coverage", "there are: none"),
        ("own", {"coverage": 2}, "coverage", "<= 1"),
        ("own", {"outputs": ["intervals"]}, "outputs[0]", "unknown output 'intervals'; expected some of prediction, "),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    client: httpx.Client, model: str, asked: dict[str, Any], field: str, message: str
) -> None:
    response = client.post("/predict", json={"model": model, "inputs": [[0.5]], **asked})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (422, "invalid_input", field)
    assert message in error["message"]


def test_fields_of_the_query_mean_the_same(client: httpx.Client, inputs: np.ndarray) -> None:
    found = arrays(client, inputs, model="own", coverage="0.99", policy="reject entropy>-1", outputs="decision")
    assert set(found) == {"model", "version", "decision"}
    assert set(found["decision"]) == {"reject"}


@pytest.mark.parametrize(
    ("text", "load", "message"),
    [
        ("tiny=defer entropy>p95", "start", "MASKSEMBLES_POLICY: tiny:1: a percentile of 'entropy' is wanted"),
        ("*=defer entropy>p95; points=none", "lazy", "MASKSEMBLES_POLICY: tiny:1: a percentile of 'entropy' is wanted"),
        ("plain=none; *=defer entropy>1; tiny=none", "start", "'plain' cannot be served; there are: other, own, tiny"),
        (
            "numbers=defer energy>1",
            "lazy",
            "numbers:1: the model has no score 'energy'; it has entropy, ",
        ),
        ("points=defer entropy>1", "start", "points:1: the model has no score 'entropy'; it has none"),
    ],
)
def test_a_policy_that_a_model_cannot_keep_is_refused_at_the_start(
    repository: Path, tmp_path: Path, text: str, load: str, message: str
) -> None:
    shutil.copytree(repository, tmp_path / "repository")
    if not text.startswith("plain"):
        artefacts.write(tmp_path / "repository", "numbers", *graphs.regressor(aleatoric=True))
        artefacts.write(tmp_path / "repository", "points", *graphs.regressor(aleatoric=False))
    with pytest.raises(StartError) as caught:
        open_models(tmp_path / "repository", policy=text, load=load)
    assert message in str(caught.value)


def test_a_new_version_that_cannot_keep_it_is_refused_and_the_old_one_serves_on(
    repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository / "own", tmp_path / "own")
    opened = open_models(tmp_path, policy="*=defer entropy>p95")
    model, contract = artefacts.read(tmp_path, "own")
    artefacts.write(tmp_path, "own", model, contract.with_head(contract.head, calibration=None))
    opened.refresh()
    assert {version.number: version.state for version in opened.registry.models["own"].versions} == {
        1: "available",
        2: "rejected",
    }
    assert "MASKSEMBLES_POLICY: own:2: a percentile" in (opened.registry.models["own"].versions[-1].reason or "")
