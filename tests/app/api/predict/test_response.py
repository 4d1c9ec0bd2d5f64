import io
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from app.api.predict import outputs, response
from app.api.predict.maps import MapForm
from app.api.predict.params import PredictParams
from app.api.predict.response import Wanted
from app.contract.calibration import Interval
from app.contract.schema import Contract
from app.engine.job import Arrays
from app.errors import OutputNotFinite
from tests.app.api.predict.answering import CLASSES, CLASSIFIER, NUMBERS, REGRESSOR, calibrated, model_of
from tests.app.engine.fakes import CONTRACT


def wanted(contract: Contract, id: str | None, asked: dict[str, Any]) -> Wanted:
    params = PredictParams(**asked)
    return Wanted(id, outputs.choose(params, model_of(contract)), response.JSON, MapForm(None, None), False, {"B": 2})


def as_json(contract: Contract, found: Arrays, id: str | None = None, **asked: Any) -> dict[str, Any]:
    content = response.write_json(wanted(contract, id, asked), model_of(contract), found, Counter())
    answer: dict[str, Any] = json.loads(content)
    return answer


def as_npz(contract: Contract, found: Arrays, id: str | None = None, **asked: Any) -> dict[str, Any]:
    content = response.write_npz(wanted(contract, id, asked), model_of(contract), found, Counter())
    with np.load(io.BytesIO(content), allow_pickle=False) as opened:
        return dict(opened)


@pytest.mark.parametrize("write", [as_json, as_npz])
@pytest.mark.parametrize("variance", [-1.0, float("nan"), 3e38])
def test_a_variance_that_makes_no_interval_is_an_error(write: Any, variance: float) -> None:
    intervals = (Interval(coverage=0.9, factors=(1e38, 1e38), rows=100),)
    wide = calibrated(REGRESSOR, intervals=intervals)
    found = {**NUMBERS, "variance": np.full((2, 2), variance, np.float32)}
    with pytest.raises(OutputNotFinite, match="a variance that makes no interval"):
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
def test_arrays_have_the_numbers_of_json(contract: Contract, found: Arrays) -> None:
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
        "application/x-npz;q=0.5, application/json", "text/npz", "application/x-npz2", "image/png;q=0", "image/*",
        "application/json, image/png", "text/png",
    ],
)  # fmt: skip
def test_json_is_answered_unless_something_else_is_preferred(accept: str) -> None:
    assert response.media_type(accept.encode()) == response.JSON


@pytest.mark.parametrize(
    "accept",
    [
        "application/x-npz", "Application/X-NPZ", "application/x-npz, application/json",
        "text/html, application/x-npz;q=0.1", "application/json;q=0.2, application/x-npz;q=0.3",
    ],
)  # fmt: skip
def test_arrays_are_answered_where_they_are(accept: str) -> None:
    assert response.media_type(accept.encode()) == response.NPZ


@pytest.mark.parametrize("accept", ["image/png", "Image/PNG", "application/json;q=0.2, image/png", "image/png, */*"])
def test_a_picture_is_answered_where_it_is(accept: str) -> None:
    assert response.media_type(accept.encode()) == response.PNG
