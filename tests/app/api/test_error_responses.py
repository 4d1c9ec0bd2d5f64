from typing import Any

import pytest

from app.api.error_responses import HEADERS, add_common, errors, on_no_route
from app.api.v2.error_format import V2
from app.errors import InvalidInput, MalformedBody, QueueFull, UnknownModel, service_errors


def examples(response: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = response["content"]["application/json"]["examples"]
    return found


def test_classes_of_one_status_share_a_response_with_an_example_each() -> None:
    found = errors(QueueFull, InvalidInput, UnknownModel, MalformedBody)
    assert list(found) == [404, 422, 503]
    assert list(examples(found[422])) == ["invalid_input", "malformed_body"]
    assert found[422]["description"] == f"{InvalidInput.summary}; {MalformedBody.summary}"
    error = examples(found[422])["invalid_input"]["value"]["error"]
    assert (error["message"], error["field"]) == (InvalidInput.example, InvalidInput.example_field)
    assert found[503]["headers"] == {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    assert "headers" not in found[404]


def test_a_protocol_has_its_own_statuses_and_bodies() -> None:
    found = errors(InvalidInput, UnknownModel, form=V2)
    assert list(found) == [400, 404]
    assert found[400]["model"] is V2.model
    value = examples(found[400])["invalid_input"]["value"]
    assert value == {"error": f"{InvalidInput.example_field}: {InvalidInput.example}"}


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/health/live", {"431", "500"}),
        ("/predict", {"401", "403", "429", "431", "500"}),
        ("/v2/models/{name}/infer", {"401", "403", "429", "431", "500"}),
    ],
)
def test_only_paths_that_need_a_key_can_miss_one(path: str, statuses: set[str]) -> None:
    responses: dict[str, dict[str, Any]] = {}
    add_common(path, responses)
    assert responses.keys() == statuses


def test_what_a_route_says_itself_is_kept() -> None:
    responses: dict[str, dict[str, Any]] = {
        "500": {"description": "The model failed", "content": {"application/json": {"schema": {"own": 1}}}}
    }
    add_common("/health/live", responses)
    assert responses["500"]["description"].startswith("The model failed; ")
    assert responses["500"]["content"]["application/json"]["schema"] == {"own": 1}
    assert responses["431"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorBody"}


def test_errors_of_no_route_go_by_their_codes() -> None:
    found = on_no_route([InvalidInput, MalformedBody])
    assert list(found) == ["invalid_input", "malformed_body"]
    for code, response in found.items():
        assert list(examples(response)) == [code]


def test_every_header_that_an_error_may_bring_is_a_component() -> None:
    assert {name for kind in service_errors() for name in kind.headers} <= HEADERS.keys()
