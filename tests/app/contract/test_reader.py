import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from app.contract import schema
from app.contract.reader import ContractError
from app.contract.reader import read as read_contract


@pytest.fixture(scope="module")
def document(digits_repository: Path) -> dict[str, Any]:
    (entry,) = onnx.load(digits_repository / "digits" / "1" / "model.onnx").metadata_props
    assert entry.key == "masksembles"
    return json.loads(entry.value)


def test_reads_what_was_written(document: dict[str, Any]) -> None:
    contract = read_contract(json.dumps(document))
    assert read_contract(contract.model_dump_json()) == contract
    assert contract.schema_version == schema.SCHEMA_VERSION


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("schema_version", 6, "schema_version: 6 is newer than 5"),
        ("schema_version", "1", "schema_version: the contract has none"),
        ("schema_version", 0, "schema_version: Input should be greater"),
        ("heads", [], "heads: Tuple should have at least 1 item"),
        ("heads.0.task", "forecast", "heads.0.task: Input should be 'classification', 'multilabel' or 'regression'"),
        (
            "heads.0.task",
            "regression",
            "heads.0: .*targets must name at least 1, and labels none",
        ),
        ("method", "guess", "method: Input should be 'single'"),
        ("num_submodels", 0, "num_submodels: Input should be greater"),
        ("heads.0.labels", ["one"], "heads.0: .*labels must name at least 2, and targets none"),
        ("surprise", 1, "surprise: Extra inputs are not permitted"),
        ("inputs", [], "inputs: Tuple should have at least 1 item"),
        ("inputs.0.shape", ["N", 1], "inputs.0: .*shape must begin with B"),
        ("inputs.0.range", [1, 0], "inputs.0: .*range must be"),
        ("inputs.0.dtype", "float64", "inputs.0.dtype: Input should be 'float32', 'uint8', 'int64', 'int32' or 'bool'"),
        ("heads.0.outputs.3.name", "doubt", "heads.0: .*outputs must be prediction, .*got .*doubt"),
        ("heads.0.outputs.3.dtype", "int64", "heads.0: .*outputs.entropy must be float32"),
        ("heads.0.calibration.temperature", 0, "heads.0.calibration.temperature: Input should be greater than 0"),
        (
            "heads.0.calibration.quantiles.entropy",
            [0, 1],
            "heads.0.calibration.quantiles.entropy: Tuple should have at least 101",
        ),
        (
            "heads.0.evaluation.accuracy",
            1.1,
            "evaluation.ClassificationEvaluation.accuracy: Input should be less",
        ),
    ],
)
def test_names_the_field_that_is_wrong(document: dict[str, Any], path: str, value: object, message: str) -> None:
    changed = json.loads(json.dumps(document))
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = changed
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(ContractError, match=message):
        read_contract(json.dumps(changed))


@pytest.mark.parametrize("text", ["", "no", "[]", "null", '{"schema_version": true}'])
def test_what_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(ContractError):
        read_contract(text)


SHIPPED = sorted((Path(__file__).parents[3] / "models" / "repository").glob("*/*/model*.onnx"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: "/".join(path.parts[-3:]))
def test_contracts_of_earlier_versions_are_read(path: Path) -> None:
    (text,) = (entry.value for entry in onnx.load(path).metadata_props if entry.key == "masksembles")
    document, contract = json.loads(text), read_contract(text)
    assert contract.schema_version == document["schema_version"]
    thresholds = contract.head.calibration.thresholds if contract.head.calibration else ()
    head = document["heads"][0] if document["schema_version"] >= 5 else document
    written = [one.get("certainty", one.get("confidence_level")) for one in head["calibration"]["thresholds"]]
    assert [one.confidence_level for one in thresholds] == written


def as_version_4(document: dict[str, Any]) -> dict[str, Any]:
    """The same model as version 4 declared it."""
    old = json.loads(json.dumps(document))
    (head,) = old.pop("heads")
    for threshold in head["calibration"]["thresholds"]:
        threshold["promise"] = threshold.pop("guarantee")
        if "confidence_level" in threshold:
            threshold["certainty"] = threshold.pop("confidence_level")
    own = {name: value for name, value in head.items() if name not in ("name", "grid")}
    return {**old, **own, "schema_version": 4}


def test_version_4_had_one_head_and_other_names_for_confidence_level_and_guarantee(document: dict[str, Any]) -> None:
    new, old = read_contract(json.dumps(document)), read_contract(json.dumps(as_version_4(document)))
    assert old == new.model_copy(update={"schema_version": 4})
    assert old.head.calibration is not None
    risks = [one for one in old.head.calibration.thresholds if one.guarantee == "risk"]
    assert {one.confidence_level for one in risks} == {0.95}
    with pytest.raises(ContractError, match="heads: Field required"):
        read_contract(json.dumps(as_version_4(document) | {"schema_version": 5}))
    changed = as_version_4(document)
    changed["calibration"]["thresholds"] = "none"
    with pytest.raises(ContractError, match=r"heads\.0\.calibration\.thresholds: Input should be a valid"):
        read_contract(json.dumps(changed))
    changed["calibration"] = 1
    with pytest.raises(ContractError, match=r"heads\.0\.calibration: Input should be"):
        read_contract(json.dumps(changed))


def test_warnings_are_read_and_earlier_versions_have_none(document: dict[str, Any]) -> None:
    assert read_contract(json.dumps(document)).warnings == ()
    warned = json.loads(json.dumps(document))
    warned["heads"][0]["calibration"]["warnings"] = ["few rows"]
    assert read_contract(json.dumps(warned)).warnings == ("few rows",)
    for path in SHIPPED[:3]:
        (text,) = (entry.value for entry in onnx.load(path).metadata_props if entry.key == "masksembles")
        assert read_contract(text).warnings == ()


def with_recipe(document: dict[str, Any], text: str) -> str:
    origin = {**document["origin"], "recipe": {"lr": "HERE"}}
    return json.dumps({**document, "origin": origin}).replace('"HERE"', text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ("[" * 300 + "]" * 300, "recursion limit exceeded"),
        ("1e400", "not JSON: 1e400 is too large a number"),
        ("-1e999", "not JSON: -1e999 is too large a number"),
        ("1" * 100_000, r"not JSON: 11111111111111111111… \(100000 characters\) is too large a whole number"),
        ("9223372036854775808", "9223372036854775808 is too large a whole number"),
        ("-9223372036854775808", "-9223372036854775808 is too large a whole number"),
        ("NaN", "NaN is no number"),
        ("-Infinity", "-Infinity is no number"),
        ('{"a": 1, "b": 2, "a": 1}', "it has 'a' twice in one object"),
        ('"\\ud800"', "hex escape"),
    ],
)
def test_what_readers_take_differently_or_not_at_all_is_refused(
    document: dict[str, Any], text: str, message: str
) -> None:
    with pytest.raises(ContractError, match=message):
        read_contract(with_recipe(document, text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775807", 1 - 2**63),
        ("1e308", 1e308),
        ("1e-400", 0.0),
        ("[" * 100 + "1" + "]" * 100, None),
        ('"\\u0000\\n\\ud83d\\ude00"', "\0\n😀"),
    ],
)
def test_what_every_reader_takes_alike_is_read(document: dict[str, Any], text: str, value: object) -> None:
    found = read_contract(with_recipe(document, text)).origin.recipe["lr"]
    assert value is None or found == value


def test_a_contract_has_a_longest_length(document: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(document)
    monkeypatch.setattr("app.contract.reader.MOST_CHARACTERS", len(text))
    read_contract(text)
    with pytest.raises(ContractError, match=f"the contract has {len(text) + 1} characters; at most {len(text)} are"):
        read_contract(text + " ")
