import json
import tomllib
from pathlib import Path
from typing import Any, get_args

import httpx
import jsonschema
import openapi_spec_validator
import pytest

from app.api.predict import content_types, outputs, params
from app.api.schemas import Classification, ClassificationAnswer, Output, PredictRequest, Regression
from app.api.v2 import request, schemas, tensors
from app.errors import ServiceError

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
        "v2_repository_unload",
    }  # fmt: skip
    for (_, path), operation in operations.items():
        assert operation["summary"]
        assert operation["description"]
        error = "V2Error" if path.startswith("/v2") else "ErrorBody"
        for status, response in operation["responses"].items():
            if status != "200" and not path.endswith("/ready"):
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{error}"}
        assert (operation.get("security") != []) == ("401" in operation["responses"]) == ("health" not in path)
    assert set(operations["post", "/predict"]["responses"]) == {
        "200", "401", "403", "404", "408", "413", "415", "422", "429", "431", "500", "503", "504",
    }  # fmt: skip


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
                assert status == "200" or "example" in response["content"]["application/json"], (path, status)
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                schema = {**body["schema"], "components": document["components"]}
                jsonschema.Draft202012Validator(schema).validate(body["example"])


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    openapi_spec_validator.validate(document)


def test_the_document_in_the_checkout_is_that_of_the_service(document: dict[str, Any]) -> None:
    checked_in = json.loads((EXAMPLES.parents[1] / "openapi.json").read_text())
    assert checked_in == document, "app/openapi.json is stale: make openapi"


def test_v2_requests_are_read_as_they_are_documented() -> None:
    for kind, documented in (
        (request._Request, schemas.InferRequest),
        (request._Input, schemas.InferInput),
        (request._Output, schemas.InferOutput),
    ):
        assert set(kind.__struct_fields__) == set(documented.model_fields)
    assert set(tensors.DATATYPES.values()) == set(get_args(schemas.Datatype))


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
    assert closed == {"PredictRequest", "PredictForm"}
    fields = schemas["Contract"]["properties"]
    assert not any("const" in fields[name] for name in ("plan", "precision", "task"))


def test_every_code_is_documented(document: dict[str, Any]) -> None:
    documented = document["components"]["schemas"]["Error"]["properties"]["code"]["description"]
    readme = (EXAMPLES.parents[2] / "README.md").read_text()
    codes = {kind.code for kind in (ServiceError, *ServiceError.__subclasses__())} | {
        "not_found", "method_not_allowed", "headers_too_large", "malformed_request",
    }  # fmt: skip
    assert all(f"`{code}`" in documented and f"`{code}`" in readme for code in codes)


def test_the_request_is_read_as_it_is_documented() -> None:
    assert set(params.PredictBody.__struct_fields__) == set(PredictRequest.model_fields)
    classes, numbers = set(outputs.CLASSIFIER.selectable), set(outputs.REGRESSOR.selectable)
    assert set(get_args(Output)) == classes | numbers
    assert set(outputs.PLAIN_REGRESSOR.selectable) < numbers
    assert classes - {"prediction"} <= set(Classification.model_fields)
    assert numbers == set(Regression.model_fields)
    assert set(content_types.QUERY) == set(params.PredictParams.__struct_fields__)


def test_the_version_is_that_of_the_project(document: dict[str, Any]) -> None:
    project = tomllib.loads((EXAMPLES.parents[2] / "pyproject.toml").read_text())["project"]
    assert document["info"]["version"] == project["version"]


def test_the_example_is_valid(document: dict[str, Any]) -> None:
    operation = document["paths"]["/predict"]["post"]
    request = operation["requestBody"]["content"]["application/json"]["example"]
    answer = operation["responses"]["200"]["content"]["application/json"]["example"]
    PredictRequest.model_validate(request)
    ClassificationAnswer.model_validate(answer)
    assert answer == json.loads((EXAMPLES / "answer.json").read_text())
