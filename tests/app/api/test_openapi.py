import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import httpx
import jsonschema
import openapi_spec_validator
import pytest
from pydantic import BaseModel

from app.api.examples import ANSWERS
from app.api.predict import content_types, params
from app.api.predict.schemas.classification import Classification, ClassificationAnswer
from app.api.predict.schemas.multilabel import Multilabel
from app.api.predict.schemas.regression import Regression
from app.api.predict.tasks import ANSWERS as TASKS
from app.api.schemas.models import ModelSummary, VersionDetail
from app.api.v2 import infer_request, tensors
from app.contract.repository import NAME_PATTERN
from app.errors import InvalidInput, service_errors

EXAMPLES = Path(__file__).parents[3] / "app" / "api" / "examples"


@pytest.fixture(scope="module")
def document(client: httpx.Client) -> dict[str, Any]:
    return client.get("/openapi.json").json()


def test_every_operation_has_a_stable_id_a_summary_and_its_errors(document: dict[str, Any]) -> None:
    operations = {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert {operation["operationId"] for operation in operations.values()} == {
        "predict", "list_models", "get_model", "get_version", "load_model", "unload_model", "live", "ready", "metrics",
        "v2_live", "v2_ready", "v2_server", "v2_model", "v2_model_version", "v2_model_ready", "v2_model_version_ready",
        "v2_infer", "v2_infer_version", "v2_statistics", "v2_model_statistics", "v2_model_version_statistics",
        "v2_model_config", "v2_model_version_config", "v2_repository_index", "v2_repository_load",
        "v2_repository_unload", "send_feedback", "get_quality",
    }  # fmt: skip
    for (_, path), operation in operations.items():
        assert operation["summary"]
        assert operation["description"]
        error = "V2Error" if path.startswith("/v2") else "ErrorBody"
        for status, response in operation["responses"].items():
            assert {"X-Request-ID", "traceparent"} <= set(response["headers"])
            if status != "200" and not path.endswith("/ready") and (status, path) != ("503", "/v2/health/live"):
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{error}"}
        assert (operation.get("security") != []) == ("401" in operation["responses"]) == ("health" not in path)
    assert set(operations["post", "/predict"]["responses"]) == {
        "200", "401", "403", "404", "408", "413", "415", "422", "429", "431", "500", "503", "504",
    }  # fmt: skip
    assert set(operations["get", "/health/live"]["responses"]) == {"200", "431", "500", "503"}


def test_every_operation_shows_what_it_takes_and_gives(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            content = operation["responses"]["200"].get("content", {}).get("application/json")
            if content is None:
                assert path == "/metrics" or path.endswith("load")  # a text, and nothing
            else:
                schema = {**content["schema"], "components": document["components"]}
                jsonschema.Draft202012Validator(schema).validate(content["example"])
            for status, response in operation["responses"].items():
                shown = response.get("content", {}).get("application/json", {})
                assert status == "200" or shown.get("example") or shown["examples"], (path, status)
                for example in shown.get("examples", {}).values():
                    schema = {**shown["schema"], "components": document["components"]}
                    jsonschema.Draft202012Validator(schema).validate(example["value"])
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                schema = {**body["schema"], "components": document["components"]}
                for example in body.get("examples", {"": {"value": body.get("example")}}).values():
                    jsonschema.Draft202012Validator(schema).validate(example["value"])


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)


def test_the_document_in_the_checkout_is_that_of_the_service(document: dict[str, Any]) -> None:
    checked_in = json.loads((EXAMPLES.parents[1] / "openapi.json").read_text())
    assert checked_in == document, "app/openapi.json is stale: make openapi"


def test_v2_knows_the_same_datatypes_everywhere() -> None:
    assert set(tensors.DATATYPES.values()) == set(get_args(infer_request.Datatype))


def test_requests_are_documented_as_they_are_read(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["PredictRequest"]["properties"]["version"] == {
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": 999_999_999}, {"type": "null"}],
        "description": "Version of the model; without it the highest valid one, or the pinned one, answers",
    }
    assert schemas["PredictRequest"]["properties"]["model"]["anyOf"][0]["pattern"] == f"^{NAME_PATTERN}$"
    assert schemas["PredictRequest"]["required"] == ["inputs"]
    assert schemas["InferRequest"]["properties"]["inputs"]["items"] == {"$ref": "#/components/schemas/InferInput"}
    assert schemas["InferInput"]["required"] == ["name", "datatype", "shape"]
    assert schemas["IndexRequest"]["properties"]["ready"]["default"] is False
    assert "default" not in json.dumps(schemas["PredictRequest"]["properties"]["id"])


def test_a_query_and_a_form_say_what_a_body_does(document: dict[str, Any]) -> None:
    body = document["components"]["schemas"]["PredictRequest"]["properties"]
    form = document["components"]["schemas"]["PredictForm"]["properties"]
    query = {one["name"]: one for one in document["paths"]["/predict"]["post"]["parameters"] if one["in"] == "query"}
    assert form.keys() == body.keys()
    assert query.keys() == set(content_types.QUERY) == body.keys() - {"inputs"}
    for name, one in query.items():
        in_form = {key: value for key, value in form[name].items() if key != "examples" or "examples" not in one}
        assert one["schema"] == in_form
        assert "null" not in json.dumps(one["schema"])
        if name != "outputs":  # a text with commas, where JSON has a list
            assert one["schema"].items() >= body[name]["anyOf"][0].items()


def test_every_reference_resolves(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.partition('"')[0] in document["components"]["schemas"]
    assert '"$defs"' not in text


def test_units_are_written_down(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["Classification"]["properties"]
    for score in ("entropy", "expected_entropy", "mutual_information", "energy"):
        assert "in nats" in fields[score]["description"]


def test_room_is_left_for_what_comes(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert {"percentiles", "prediction_set", "decision"} <= set(schemas["Classification"]["properties"])
    assert "required" not in schemas["Classification"]
    assert set(schemas["Regression"]["properties"]) >= {
        "prediction", "variance", "epistemic_variance", "aleatoric_variance", "intervals",
    }  # fmt: skip
    tasks = [schemas[name]["properties"]["task"]["const"] for name in ("ClassifierReference", "RegressorReference")]
    assert tasks == ["classification", "regression"]


def test_answers_may_grow(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    closed = {name for name, schema in schemas.items() if schema.get("additionalProperties") is False}
    assert closed == {"PredictRequest", "FeedbackRequest", "RowFeedback"}
    assert schemas["PredictForm"]["additionalProperties"]["format"] == "binary"  # inputs by their names
    fields = schemas["Contract"]["properties"] | schemas["Head"]["properties"]
    assert not any("const" in fields[name] for name in ("plan", "precision", "task"))


def test_every_error_is_shown_where_it_can_happen(document: dict[str, Any]) -> None:
    shown: dict[str, set[str]] = {}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                for code in response.get("content", {}).get("application/json", {}).get("examples", {}):
                    shown.setdefault(code, set()).add(status if not path.startswith("/v2") else "")
    for code in document["components"]["responses"]:
        shown.setdefault(code, set())
    kinds = service_errors()
    assert shown.keys() == {kind.code for kind in kinds}
    assert len(shown) == len(kinds)
    assert all(shown[kind.code] <= {str(kind.status), ""} for kind in kinds)
    elsewhere = {"malformed_request", "not_found", "method_not_allowed", "connections_full", "pipeline_full"}
    assert set(document["components"]["responses"]) == elsewhere
    described = document["components"]["schemas"]["Error"]["properties"]["code"]["description"]
    assert all(f"`{kind.code}`" in described for kind in kinds)


def test_v2_says_400_for_what_is_422_elsewhere(document: dict[str, Any]) -> None:
    responses = document["paths"]["/v2/models/{name}/infer"]["post"]["responses"]
    assert "422" not in responses
    examples = responses["400"]["content"]["application/json"]["examples"]
    assert examples.keys() == {"invalid_input", "malformed_body"}
    assert examples["invalid_input"]["value"] == {"error": f"{InvalidInput.example_field}: {InvalidInput.example}"}


def test_answers_show_what_can_be_asked_for(document: dict[str, Any]) -> None:
    asked = document["components"]["schemas"]["PredictRequest"]["properties"]["outputs"]["anyOf"][0]["items"]["anyOf"]
    plain, of_a_head = set(asked[0]["enum"]), asked[1]["pattern"]
    menus = {task: [set(menu.selectable) for menu in answers.menus] for task, answers in TASKS.items()}
    assert plain == {output for of_task in menus.values() for menu in of_task for output in menu}
    assert all(re.search(of_a_head, f"road-2.{output}") for output in plain)
    assert not re.search(of_a_head, "entropy")
    regressor, without_scores, dense, dense_without_scores = menus["regression"]
    assert without_scores < regressor
    assert dense_without_scores < dense
    for task, fields in (("classification", Classification), ("multilabel", Multilabel), ("regression", Regression)):
        maps = {name for menu in TASKS[task].menus for name in menu.maps}
        assert maps < plain
        assert {name for menu in menus[task] for name in menu} - {"prediction"} <= set(fields.model_fields)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [("get_version", VersionDetail), ("unload_model", ModelSummary), ("load_model", ModelSummary)],
)
def test_examples_know_no_other_words_than_the_contract(operation: str, kind: type[BaseModel]) -> None:
    kind.model_validate(ANSWERS[operation])  # a contract is strict, where the document leaves room


def test_the_version_is_that_of_the_project(document: dict[str, Any]) -> None:
    project = tomllib.loads((EXAMPLES.parents[2] / "pyproject.toml").read_text())["project"]
    assert document["info"]["version"] == project["version"]


def test_the_example_is_valid(document: dict[str, Any]) -> None:
    operation = document["paths"]["/predict"]["post"]
    request = operation["requestBody"]["content"]["application/json"]["example"]
    answer = operation["responses"]["200"]["content"]["application/json"]["example"]
    params.read_call(json.dumps(request).encode())
    ClassificationAnswer.model_validate(answer)
    assert answer == json.loads((EXAMPLES / "answer.json").read_text())
