"""One service with a model of each method."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from app.contract.schema import Method
from app.contract.tensor import Tensor
from tests import artefacts, graphs
from tests.serving import serving

SUBMODELS: dict[Method, int] = {"single": 1, "mc-dropout": 5, "masksembles": 3, "deep-ensemble": 2}
ROWS = np.random.default_rng(0).random((7, 6), np.float32)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("methods")
    given = Tensor(name="input", dtype="float32", shape=("B", 6), unit="feature")
    for method, number in SUBMODELS.items():
        artefacts.write(folder, method, *graphs.classifier(given, "abc", number, method))
    with serving(folder) as opened:
        yield opened


def test_models_tells_them_apart(client: httpx.Client) -> None:
    listed = client.get("/models").json()["models"]
    assert {model["name"]: (model["method"], model["num_submodels"]) for model in listed} == {
        method: (method, number) for method, number in SUBMODELS.items()
    }


def test_all_answer_at_the_same_time_each_with_its_own_submodels(client: httpx.Client) -> None:
    def ask(method: Method) -> dict[str, Any]:
        response = client.post("/predict", json={"model": method, "inputs": ROWS.tolist()})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    asked = [*SUBMODELS] * 10
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, asked))
    first = dict(zip(asked, answers))
    for method, answer in zip(asked, answers):
        model, rows = answer["model"], answer["predictions"]
        assert (model["name"], model["method"], model["num_submodels"]) == (method, method, SUBMODELS[method])
        assert len(rows) == len(ROWS)
        each = np.array([[submodel["probabilities"] for submodel in row["submodels"]] for row in rows])
        assert each.shape == (len(ROWS), SUBMODELS[method], 3)
        mean = np.array([row["probabilities"] for row in rows])
        np.testing.assert_allclose(each.mean(axis=1), mean, atol=1e-6)
        np.testing.assert_allclose(mean, [row["probabilities"] for row in first[method]["predictions"]], atol=1e-6)
        differ = np.ptp(each, axis=1).max(axis=-1)
        disagree = np.array([row["mutual_information"] for row in rows])
        if method == "single":
            assert disagree == pytest.approx(0, abs=1e-6)
        else:
            assert (differ > 1e-5).all()
            assert (disagree > 0).all()
