import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.api.predict.schemas.classification import ClassificationAnswer
from app.engine.row_shapes import Feeds
from app.engine.session import Session
from tests import artefacts
from tests.pictures import digits

GOOD: dict[str, Any] = {"model": "tiny", "inputs": [[0.5] * 6]}


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def post(client: httpx.Client, body: object) -> dict[str, Any]:
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    answer = json.loads(response.content, parse_constant=refuse_constant)
    documented = ClassificationAnswer.model_validate_json(response.content, strict=True)
    assert documented.model_dump(exclude_unset=True) == answer  # nothing but what the document tells
    return answer


def test_answers_what_the_artefact_says(client: httpx.Client, folder: Path) -> None:
    x = digits()[:7]
    model, contract = artefacts.read(folder, "digits")
    expected = artefacts.run(model, x, [tensor.name for tensor in contract.outputs])
    answer = post(client, {"model": "digits", "inputs": x.tolist(), "id": "mine"})
    assert answer["id"] == "mine"
    assert answer["model"] == {
        "name": "digits",
        "version": 1,
        "task": "classification",
        "method": "masksembles",
        "num_submodels": 4,
    }
    assert len(answer["predictions"]) == 7
    for row, prediction in enumerate(answer["predictions"]):
        assert set(prediction) == {
            "label", "index", "confidence", "probabilities", "entropy", "expected_entropy", "mutual_information",
            "energy", "submodels", "percentiles", "prediction_set", "decision",
        }  # fmt: skip
        assert prediction["index"] == expected["prediction"][row]
        assert prediction["label"] == contract.head.labels[prediction["index"]]
        assert prediction["confidence"] == max(prediction["probabilities"])
        np.testing.assert_allclose(prediction["probabilities"], expected["probabilities"][row], rtol=1e-5, atol=1e-7)
        for index, submodel in enumerate(prediction["submodels"]):
            np.testing.assert_allclose(submodel["probabilities"], expected["submodels"][row, index], rtol=1e-5)
            assert submodel["index"] == expected["submodels"][row, index].argmax()
            assert submodel["label"] == contract.head.labels[submodel["index"]]
        for score in ("entropy", "expected_entropy", "mutual_information", "energy"):
            assert prediction[score] == pytest.approx(expected[score][row], rel=1e-4, abs=1e-6)


def entropies(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """In nats, along the last axis, where 0·ln 0 is 0."""
    found: NDArray[np.float64] = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)
    return found


def test_the_scores_follow_from_the_submodels(client: httpx.Client) -> None:
    answer = post(client, {"model": "digits", "inputs": digits().tolist()})
    for prediction in answer["predictions"]:
        p = np.array([submodel["probabilities"] for submodel in prediction["submodels"]])
        mean = p.mean(axis=0)
        assert p.sum(axis=1) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(prediction["probabilities"], mean, atol=1e-6)
        assert prediction["entropy"] == pytest.approx(entropies(mean), abs=1e-5)
        assert prediction["expected_entropy"] == pytest.approx(entropies(p).mean(), abs=1e-5)
        expected = entropies(mean) - entropies(p).mean()
        assert prediction["mutual_information"] == pytest.approx(expected, abs=1e-5)
        assert 0 <= prediction["mutual_information"] <= np.log(4)


def test_only_what_was_asked_for(client: httpx.Client) -> None:
    answer = post(client, {**GOOD, "outputs": ["entropy"]})
    assert [set(prediction) for prediction in answer["predictions"]] == [{"entropy"}]
    answer = post(client, {**GOOD, "outputs": ["logits", "prediction"]})
    assert [set(prediction) for prediction in answer["predictions"]] == [{"logits", "label", "index", "confidence"}]
    assert np.shape(answer["predictions"][0]["logits"]) == (3, 3)
    assert "id" not in answer


def test_an_output_nobody_asked_for_is_not_fetched(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    run = Session.run

    def spy(self: Session, inputs: Feeds, outputs: list[str]) -> dict[str, np.ndarray]:
        fetched.extend(outputs)
        return run(self, inputs, outputs)

    monkeypatch.setattr(Session, "run", spy)
    post(client, {**GOOD, "outputs": ["entropy", "prediction"]})
    assert fetched == ["entropy", "prediction", "probabilities", "mutual_information"]  # the last for /metrics


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=6, max_size=6), min_size=1, max_size=9))
def test_any_number_of_rows(client: httpx.Client, rows: list[list[float]]) -> None:
    together = post(client, {"model": "tiny", "inputs": rows})["predictions"]
    assert len(together) == len(rows)
    alone = post(client, {"model": "tiny", "inputs": rows[:1]})["predictions"][0]
    assert together[0]["probabilities"] == pytest.approx(alone["probabilities"], rel=1e-4, abs=1e-6)


def nested(value: object, place: tuple[int, ...] = (0, 0, 2, 3)) -> Any:
    rows: Any = np.full((2, 1, 8, 8), 0.5).tolist()
    *parents, last = place
    inner = rows
    for index in parents:
        inner = inner[index]
    inner[last] = value
    return rows


def digits_body(value: object, place: tuple[int, ...] = (0, 0, 2, 3)) -> bytes:
    return json.dumps({"model": "digits", "inputs": nested(value, place)}).encode()


SHAPE = "expected numbers nested as [B, 1, 8, 8]"

# What is posted, and the status, code, field and a part of the message that come back.
BAD: dict[str, tuple[bytes, int, str, str | None, str]] = {
    "not JSON": (b"inputs=1", 422, "malformed_body", None, "the body is not JSON"),
    "nothing": (b"", 422, "malformed_body", None, "the body is not JSON"),
    "cut off": (b'{"inputs": [[0.5, 0.5', 422, "malformed_body", None, "truncated"),
    "not UTF-8": (b'{"model": "\xff", "inputs": [[1]]}', 422, "malformed_body", None, "not JSON"),
    "not an object": (b"[1, 2]", 422, "invalid_input", None, "Expected `object`, got `array`"),
    "no inputs": (b"{}", 422, "invalid_input", None, "missing required field `inputs`"),
    "unknown field": (b'{"inputs": [[1]], "input": 1}', 422, "invalid_input", None, "unknown field `input`"),
    "model no string": (b'{"inputs": [[1]], "model": 3}', 422, "invalid_input", "model", "Expected `str | null`"),
    "version 0": (b'{"inputs": [[1]], "version": 0}', 422, "invalid_input", "version", ">= 1"),
    "an output twice": (b'{"inputs": [[1]], "outputs": ["energy", "energy"]}', 422, "invalid_input", "outputs", "once"),
    "version a string": (b'{"inputs": [[1]], "version": "1"}', 422, "invalid_input", "version", "Expected `int"),
    "unknown model": (b'{"inputs": [[1]], "model": "cats"}', 404, "unknown_model", "model", "there are: bytes, "),
    "a path as model": (b'{"inputs": [[1]], "model": "../tiny"}', 422, "invalid_input", "model", "matching regex"),
    "unknown version": (b'{"inputs": [[1]], "version": 7}', 404, "unknown_version", "version", "there are: 1"),
    "refused version": (b'{"inputs": [[1]], "version": 2}', 404, "unknown_version", "version", "there are: 1"),
    "unknown output": (
        b'{"inputs": [[1]], "outputs": ["entropy", "doubt"]}',
        422, "invalid_input", "outputs[1]", "unknown output 'doubt'",
    ),
    "no outputs": (b'{"inputs": [[1]], "outputs": []}', 422, "invalid_input", "outputs", "at least one output"),
    "outputs no list": (b'{"inputs": [[1]], "outputs": "entropy"}', 422, "invalid_input", "outputs", "`array | null`"),
    "long id": (b'{"inputs": [[1]], "id": "%s"}' % (b"x" * 257), 422, "invalid_input", "id", "length <= 256"),
    "a number as inputs": (b'{"model": "digits", "inputs": 5}', 422, "invalid_input", "inputs", SHAPE),
    "null as inputs": (b'{"model": "digits", "inputs": null}', 422, "invalid_input", "inputs", SHAPE),
    "wrong rank": (b'{"model": "digits", "inputs": [[0.5, 0.5]]}', 422, "invalid_input", "inputs[0][0]", SHAPE),
    "too deep": (
        json.dumps({"model": "digits", "inputs": [nested(0.5)]}).encode(),
        422, "invalid_input", "inputs[0][0][0][0]", SHAPE,
    ),
    "far too deep": (
        b'{"model": "digits", "inputs": %s}' % (b"[" * 90_000 + b"]" * 90_000), 422, "malformed_body", None, "not JSON",
    ),
    "no rows": (b'{"model": "digits", "inputs": []}', 422, "invalid_input", "inputs", "1 to 500 rows"),
    "empty rows": (b'{"model": "digits", "inputs": [[]]}', 422, "invalid_input", "inputs[0]", "expected 1 here, got 0"),
    "wrong shape": (
        json.dumps({"model": "digits", "inputs": np.zeros((2, 1, 8, 7)).tolist()}).encode(),
        422, "invalid_input", "inputs[0][0][0]", f"{SHAPE}: expected 8 here, got 7",
    ),
    "ragged": (digits_body([0.5] * 7, (1, 0, 5)), 422, "invalid_input", "inputs[1][0][5]", "expected 8 here, got 7"),
    "a string": (digits_body("0.5"), 422, "invalid_input", "inputs[0][0][2][3]", "Expected `float`, got `str`"),
    "a boolean": (digits_body(True), 422, "invalid_input", "inputs[0][0][2][3]", "Expected `float`, got `bool`"),
    "null": (digits_body(None), 422, "invalid_input", "inputs[0][0][2][3]", "Expected `float`, got `null`"),
    "an object": (digits_body({}), 422, "invalid_input", "inputs[0][0][2][3]", "Expected `float`, got `object`"),
    "NaN": (digits_body(float("nan")), 422, "malformed_body", "inputs", "NaN at byte"),
    "infinity": (digits_body(float("inf")), 422, "malformed_body", "inputs", "Infinity at byte"),
    "minus infinity": (digits_body(float("-inf")), 422, "malformed_body", "inputs", "Infinity at byte"),
    "1e999": (digits_body(0.5).replace(b"0.5", b"1e999", 1), 422, "invalid_input", "inputs[0][0][0][0]", "range"),
    "beyond float32": (
        b'{"model": "tiny", "inputs": [[0, 0, 0, 1e39, 0, 0]]}', 422, "invalid_input", "inputs[0][3]", "fit float32",
    ),
    "0 to 255": (
        digits_body(254.0), 422, "invalid_input", "inputs[0][0][2][3]",
        "expected values in [0, 1] (grey value), got 254; 1 of 128 values are outside",
    ),
    "below the range": (digits_body(-0.01, (1, 0, 7, 7)), 422, "invalid_input", "inputs[1][0][7][7]", "[0, 1]"),
    "no byte": (b'{"model": "bytes", "inputs": [[[256, 0], [0, 0]]]}', 422, "invalid_input", "inputs[0][0][0]", "255"),
    "no whole byte": (
        b'{"model": "bytes", "inputs": [[[0, 0], [0.5, 0]]]}', 422, "invalid_input", "inputs[0][1][0]", "whole numbers",
    ),
    "a huge integer": (
        b'{"model": "bytes", "inputs": [[[0, 0], [0, %s]]]}' % (b"9" * 400),
        422, "invalid_input", "inputs[0][1][1]", "<= 255",
    ),
    "too many rows": (b'{"inputs": [%s[0]]}' % (b"[0]," * 500), 422, "invalid_input", "inputs", "1 to 500 rows"),
    "NaN elsewhere": (b'{"inputs": [[1]], "version": NaN}', 422, "malformed_body", "version", "NaN at byte"),
    "too large": (b'{"inputs": [[%s1]]}' % (b"1, " * 100_000), 413, "body_too_large", None, "200000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_its_answer_and_the_next_request_works(client: httpx.Client, case: str) -> None:
    body, status, code, field, message = BAD[case]
    response = client.post("/predict", content=body, headers={"content-type": "application/json"})
    error = response.json()["error"]
    assert (response.status_code, error["code"], error.get("field")) == (status, code, field), error
    assert message in error["message"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert set(error) <= {"code", "message", "field", "request_id"}
    post(client, GOOD)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_another_content_type_is_refused(client: httpx.Client, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = client.post("/predict", content=json.dumps(GOOD), headers=headers)
    assert response.status_code == 415
    assert "expected Content-Type: application/json" in response.json()["error"]["message"]
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert client.post("/predict", content=json.dumps(GOOD), headers=headers).status_code == 200


def test_a_long_body_of_undeclared_length_is_refused(client: httpx.Client) -> None:
    def parts() -> Any:
        for _ in range(50):
            yield b" " * 10_000

    response = client.post("/predict", content=parts(), headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "body_too_large"


def test_an_answer_that_is_not_finite_is_an_error(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Session, inputs: np.ndarray, outputs: list[str]) -> dict[str, np.ndarray]:
        return {name: np.full((1, 3), np.nan, np.float32) for name in outputs}

    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", run)
        response = client.post("/predict", json=GOOD)
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "output_not_finite"
    post(client, GOOD)


def test_an_unforeseen_failure_keeps_the_error_body(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_json(*_: object) -> bytes:
        raise RuntimeError("secret path /home")

    with monkeypatch.context() as patch:
        patch.setattr("app.api.predict.response.write_json", write_json)
        response = client.post("/predict", json=GOOD, headers={"x-request-id": "abc"})
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert response.json()["error"]["request_id"] == "abc" == response.headers["x-request-id"]
    assert "secret" not in response.text
    post(client, GOOD)


def test_rows_on_which_the_graph_fails_are_a_failure_of_the_model(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Session.run

    def run(self: Session, inputs: Feeds, *rest: Any) -> dict[str, np.ndarray]:
        if (inputs["input"] == 0.5).all():
            raise RuntimeError("secret path /home")
        return real(self, inputs, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", run)
        response = client.post("/predict", json=GOOD)
        assert response.status_code == 500
        assert response.json()["error"]["code"] == "model_failed"
        assert "secret" not in response.text
        post(client, {**GOOD, "inputs": [[0.25] * 6]})
    post(client, GOOD)


def test_wrong_paths_and_methods_keep_the_error_body(client: httpx.Client) -> None:
    response = client.get("/predict")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["error"]["code"] == "method_not_allowed"
    assert client.get("/nowhere").json()["error"]["code"] == "not_found"


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-1", True), ("a b", False), ("x" * 256, True), ("x" * 257, False), ("\u00e9", False)]
)
def test_a_request_id_is_kept_when_it_is_harmless(client: httpx.Client, sent: str, kept: bool) -> None:
    headers = {"x-request-id": sent.encode("latin-1")}
    answered = client.post("/predict", json=GOOD, headers=headers).headers["x-request-id"]  # type: ignore[arg-type]
    assert (answered == sent) is kept
    assert answered


def test_bytes_are_scaled_in_the_graph(client: httpx.Client, folder: Path) -> None:
    answer = post(client, {"model": "bytes", "inputs": [[[0, 255], [128, 7]]], "outputs": ["probabilities"]})
    model, _ = artefacts.read(folder, "bytes")
    rows = np.array([[[0, 255], [128, 7]]], np.uint8)
    expected = artefacts.run(model, rows, ["probabilities"])["probabilities"][0]
    assert answer["predictions"][0]["probabilities"] == pytest.approx(expected, rel=1e-5)
