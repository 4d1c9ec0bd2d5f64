import io
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from app.api.predict import outputs, response
from app.api.predict.params import PredictParams
from app.contract.calibration import Interval
from app.contract.schema import Contract
from app.errors import OutputNotFinite
from tests.app.api.predict.answering import CLASSES, CLASSIFIER, NUMBERS, REGRESSOR, calibration, model_of
from tests.app.engine.fakes import CONTRACT


def as_json(contract: Contract, found: dict[str, Any], id: str | None = None, **asked: Any) -> dict[str, Any]:
    selection = outputs.choose(PredictParams(**asked), contract)
    answer: dict[str, Any] = json.loads(response.write_json(id, model_of(contract), selection, found, Counter()))
    return answer


def as_npz(contract: Contract, found: dict[str, Any], id: str | None = None, **asked: Any) -> dict[str, Any]:
    selection = outputs.choose(PredictParams(**asked), contract)
    content = response.write_npz(id, model_of(contract), selection, found, Counter())
    with np.load(io.BytesIO(content), allow_pickle=False) as opened:
        return dict(opened)


@pytest.mark.parametrize("write", [as_json, as_npz])
@pytest.mark.parametrize("variance", [-1.0, float("nan"), 3e38])
def test_a_variance_that_makes_no_interval_is_an_error(write: Any, variance: float) -> None:
    intervals = (Interval(coverage=0.9, factors=(1e38, 1e38), rows=100),)
    wide = REGRESSOR.model_copy(update={"calibration": calibration(intervals=intervals)})
    found = {**NUMBERS, "variance": np.full((2, 2), variance, np.float32)}
    with pytest.raises(OutputNotFinite, match="a:3 gave a variance that makes no interval"):
        write(wide, found)


def test_a_row_has_what_was_chosen_in_the_menu_s_order() -> None:
    answer = as_json(CLASSIFIER, CLASSES, outputs=["entropy", "logits", "prediction"])
    assert [list(row) for row in answer["predictions"]] == [["label", "index", "confidence", "entropy", "logits"]] * 2
    assert [row["label"] for row in answer["predictions"]] == ["a", "b"]
    assert [row["confidence"] for row in answer["predictions"]] == [0.75, 0.625]


@pytest.mark.parametrize("id", ["", "ü"])
def test_the_id_and_the_model_that_answered_come_first(id: str) -> None:
    answer = as_json(CLASSIFIER, CLASSES, id)
    assert list(answer) == ["id", "model", "predictions"]
    assert answer["id"] == id
    assert answer["model"] == {
        "name": "a", "version": 3, "task": "classification", "method": "masksembles", "num_submodels": 2,
    }  # fmt: skip
    assert "id" not in as_json(CLASSIFIER, CLASSES)
    assert as_npz(CLASSIFIER, CLASSES, id)["id"] == id
    assert "id" not in as_npz(CLASSIFIER, CLASSES)


def test_what_needs_a_calibration_is_null_without_one_and_no_array() -> None:
    (first, _) = as_json(CONTRACT, CLASSES)["predictions"]
    assert (first["percentiles"], first["prediction_set"], first["decision"]) == (None, None, None)
    found = as_npz(CONTRACT, CLASSES)
    assert not [name for name in found if name.startswith(("percentiles", "prediction_set", "decision"))]


@pytest.mark.parametrize(("contract", "found"), [(CLASSIFIER, CLASSES), (REGRESSOR, NUMBERS)])
def test_arrays_have_the_numbers_of_json(contract: Contract, found: dict[str, Any]) -> None:
    asked = {"policy": "defer entropy>0.3"}
    rows, arrays = as_json(contract, found, **asked)["predictions"], as_npz(contract, found, **asked)
    assert (arrays["model"], arrays["version"]) == ("a", 3)
    assert [row["decision"]["action"] for row in rows] == arrays["decision"].tolist() == ["accept", "defer"]
    assert [row["percentiles"]["entropy"] for row in rows] == arrays["percentiles.entropy"].tolist() == [25, 50]
    for name in rows[0].keys() & found.keys() - {"submodels"}:
        assert [row[name] for row in rows] == arrays[name].tolist()


@pytest.mark.parametrize(
    "accept",
    [
        "", "*/*", "application/*", "application/json", "application/x-npz;q=0", "application/json, application/x-npz",
        "application/x-npz;q=0.5, application/json", "text/npz", "application/x-npz2",
    ],
)  # fmt: skip
def test_json_is_answered_unless_arrays_are_preferred(accept: str) -> None:
    assert not response.wants_npz(accept.encode())


@pytest.mark.parametrize(
    "accept",
    [
        "application/x-npz", "Application/X-NPZ", "application/x-npz, application/json",
        "text/html, application/x-npz;q=0.1", "application/json;q=0.2, application/x-npz;q=0.3",
    ],
)  # fmt: skip
def test_arrays_are_answered_where_they_are(accept: str) -> None:
    assert response.wants_npz(accept.encode())
