"""Schemas of request bodies for the OpenAPI document, made from the structs that the decoders use."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

_PATTERN = re.compile(r"\^\(\?:(.*)\)\\Z")  # JSON Schema knows no \Z


def components(kinds: Sequence[type[msgspec.Struct]]) -> dict[str, dict[str, Any]]:
    """Schemas of structs and of the structs in them, by name."""
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return {name: _plain(schema) for name, schema in found.items()}


def fields(kind: type[msgspec.Struct]) -> dict[str, dict[str, Any]]:
    """The schema of each field by itself, without null: a query or a form leaves absent fields out."""
    properties: dict[str, dict[str, Any]] = components([kind])[kind.__name__]["properties"]
    return {name: _given(schema) for name, schema in properties.items()}


def _given(schema: dict[str, Any]) -> dict[str, Any]:
    (given,) = [one for one in schema.get("anyOf", [schema]) if one != {"type": "null"}]
    others = {name: value for name, value in schema.items() if name not in ("anyOf", "default")}
    return {**given, **others}


def _plain(part: Any) -> Any:
    """Rewrites a part of a schema as client generators expect it."""
    if isinstance(part, list):
        return [_plain(value) for value in part]
    if not isinstance(part, dict):
        return part
    plain = {name: _plain(value) for name, value in part.items() if not (name == "required" and value == [])}
    if isinstance(choices := plain.get("enum"), list) and all(isinstance(choice, str) for choice in choices):
        plain["type"] = "string"
    if isinstance(pattern := plain.get("pattern"), str):
        plain["pattern"] = _PATTERN.sub(r"^\1$", pattern)
    return plain
