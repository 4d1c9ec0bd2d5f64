from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.api.v2 import response
from app.api.v2.request import Request, RequestedOutput
from app.engine.bare_model import Servable
from app.errors import InvalidInput, OutputNotFinite
from tests.app.api.predict.answering import CLASSES, CLASSIFIER, NUMBERS, REGRESSOR
from tests.app.api.v2.protocol import packed, strict


def model(contract: Any = CLASSIFIER) -> Servable:
    return cast(Servable, SimpleNamespace(name="a", version=3, contract=contract))


def wanted(*outputs: RequestedOutput, id: str | None = None) -> Request:
    return Request(id=id, seconds=None, inputs=[], outputs=outputs)


def test_classes_of_a_regressor_are_refused() -> None:
    with pytest.raises(InvalidInput, match="prediction is of a head without labels: none of its values are classes"):
        response.write(wanted(RequestedOutput("prediction", classes=1)), model(REGRESSOR), NUMBERS)


def test_classes_have_the_labels_of_their_own_head() -> None:
    road = CLASSIFIER.head.model_copy(update={"name": "road", "labels": ("dry", "wet")})
    angle = REGRESSOR.head.model_copy(update={"name": "angle"})
    both = model(CLASSIFIER.model_copy(update={"heads": (road, angle)}))
    found = {"road.probabilities": CLASSES["probabilities"], "angle.prediction": NUMBERS["prediction"]}
    body, _ = response.write(wanted(RequestedOutput("road.probabilities", classes=1)), both, found)
    assert b"0.750000:0:dry" in body
    with pytest.raises(InvalidInput, match=r"angle\.prediction is of a head without labels"):
        response.write(wanted(RequestedOutput("angle.prediction", classes=1)), both, found)


def test_what_json_has_not_is_an_error_and_goes_out_as_bytes() -> None:
    found = {"y": [np.array([np.nan], np.float32)]}
    with pytest.raises(OutputNotFinite):
        response.write(wanted(RequestedOutput("y")), model(None), found)
    body, length = response.write(wanted(RequestedOutput("y", binary=True)), model(None), found)
    assert body[length:] == found["y"][0].tobytes()


def test_json_alone_has_no_length() -> None:
    body, length = response.write(wanted(RequestedOutput("entropy"), RequestedOutput("prediction")), model(), CLASSES)
    assert length is None
    assert strict(body) == {
        "model_name": "a",
        "model_version": "3",
        "outputs": [
            {"name": "entropy", "datatype": "FP32", "shape": [2], "data": [0.25, 0.5]},
            {"name": "prediction", "datatype": "INT64", "shape": [2], "data": [0, 1]},
        ],
    }


@pytest.mark.parametrize("id", ["", "ü"])
def test_bytes_follow_in_the_order_of_the_outputs(id: str) -> None:
    outputs = [
        RequestedOutput("logits", binary=True),
        RequestedOutput("entropy"),
        RequestedOutput("energy", binary=True),
    ]
    body, length = response.write(wanted(*outputs, id=id), model(), CLASSES)
    assert length is not None
    head = strict(body[:length])
    assert head["id"] == id
    assert [output.get("parameters") for output in head["outputs"]] == [
        {"binary_data_size": 32}, None, {"binary_data_size": 8},
    ]  # fmt: skip
    assert body[length:] == packed(CLASSES["logits"]) + packed(CLASSES["energy"])


@pytest.mark.parametrize("binary", [False, True])
def test_only_probabilities_of_a_contract_have_labels(binary: bool) -> None:
    outputs = [RequestedOutput("probabilities", binary, classes=1)]
    body, length = response.write(wanted(*outputs), model(), CLASSES)
    text = body if length is None else body[length:]
    assert b"0.750000:0:a" in text
    assert b"0.625000:1:b" in text
    body, _ = response.write(wanted(*outputs), model(None), {"probabilities": [CLASSES["probabilities"]]})
    assert b"0.750000:0" in body
    assert b"0.750000:0:a" not in body


def test_an_output_without_values_leaves_nothing_to_follow() -> None:
    found = {"y": [np.zeros((0, 2), np.float32)]}
    body, length = response.write(wanted(RequestedOutput("y", binary=True)), model(None), found)
    assert length is None
    assert strict(body)["outputs"][0]["parameters"] == {"binary_data_size": 0}


def test_its_size_is_that_of_what_was_asked_for() -> None:
    assert response.size(wanted(RequestedOutput("entropy")), CLASSES) == 8
    assert response.size(wanted(RequestedOutput("entropy"), RequestedOutput("logits")), CLASSES) == 8 + 32
    texts = {"y": [np.array(["a", "b"], object)]}
    assert response.size(wanted(RequestedOutput("y")), texts) > 2 * 8
    assert response.size(wanted(RequestedOutput("probabilities", classes=1)), CLASSES) > CLASSES["probabilities"].nbytes
