import json
import tomllib
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from app.api import codecs
from app.api.schemas import Classification, ClassificationAnswer, Output, PredictRequest
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
    }  # fmt: skip
    for operation in operations.values():
        assert operation["summary"]
        assert operation["description"]
        for status, response in operation["responses"].items():
            if status != "200":
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorBody"}
    assert set(operations["post", "/predict"]["responses"]) == {
        "200", "404", "413", "415", "422", "500", "503", "504",
    }  # fmt: skip


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
    assert closed == {"PredictRequest"}
    fields = schemas["Contract"]["properties"]
    assert not any("const" in fields[name] for name in ("plan", "precision", "task"))


def test_every_code_is_documented(document: dict[str, Any]) -> None:
    documented = document["components"]["schemas"]["Error"]["properties"]["code"]["description"]
    readme = (EXAMPLES.parents[2] / "README.md").read_text()
    codes = {kind.code for kind in (ServiceError, *ServiceError.__subclasses__())} | {"not_found", "method_not_allowed"}
    assert all(f"`{code}`" in documented and f"`{code}`" in readme for code in codes)


def test_the_request_is_read_as_it_is_documented() -> None:
    assert set(codecs.Call.__struct_fields__) == set(PredictRequest.model_fields)
    assert set(get_args(Output)) == set(codecs.SELECTABLE)
    assert set(codecs.SELECTABLE) - {"prediction"} <= set(Classification.model_fields)


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
