import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from app.api.struct_schemas import components, fields


class Inner(msgspec.Struct):
    kind: Literal["a", "b"] = "a"


class Outer(msgspec.Struct):
    name: Annotated[str, Meta(pattern=r"^(?:[a-z]+)\Z")]
    level: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How high")] = None
    inner: Inner | None = None


def test_structs_come_with_those_that_they_are_made_of() -> None:
    found = components([Outer])
    assert found.keys() == {"Outer", "Inner"}
    assert {"$ref": "#/components/schemas/Inner"} in found["Outer"]["properties"]["inner"]["anyOf"]


def test_a_pattern_is_one_that_json_schema_knows() -> None:
    pattern = components([Outer])["Outer"]["properties"]["name"]["pattern"]
    assert pattern == "^[a-z]+$"
    assert re.search(pattern, "abc")
    assert not re.search(pattern, "a1")


def test_nothing_required_is_left_out_and_a_choice_of_texts_says_that_it_is_text() -> None:
    found = components([Outer])
    assert found["Outer"]["required"] == ["name"]
    assert "required" not in found["Inner"]
    assert found["Inner"]["properties"]["kind"] == {"enum": ["a", "b"], "default": "a", "type": "string"}


def test_a_field_by_itself_has_no_null_and_no_default() -> None:
    found: dict[str, Any] = fields(Outer)
    assert list(found) == ["name", "level", "inner"]
    assert found["level"] == {"type": "integer", "minimum": 1, "description": "How high"}
