"""Holds objects of KServe, JSON on standard input, against the classes of its SDK; prints what they do not have.

The classes are generated from KServe's OpenAPI document, and themselves take what they do not know.
"""

import json
import re
import sys
from typing import Any

import kserve
from kubernetes import client

KINDS = {
    "ServingRuntime": kserve.models.V1alpha1ServingRuntime,
    "InferenceService": kserve.models.V1beta1InferenceService,
}
PLAIN: dict[str, Any] = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def problems(value: Any, kind: str, path: str) -> list[str]:
    """What a value has that its kind does not, each with its path."""
    inside = re.fullmatch(r"(list|dict)(?:\[|\(str, )(.+)[\])]", kind)
    if inside is not None:
        wanted, of = inside.groups()
        if type(value).__name__ != wanted:
            return [f"{path}: not a {wanted}"]
        parts = enumerate(value) if wanted == "list" else value.items()
        return [found for key, part in parts for found in problems(part, of, f"{path}.{key}")]
    if kind in PLAIN:
        return [] if isinstance(value, PLAIN[kind]) else [f"{path}: not a {kind}"]
    made = getattr(kserve.models, kind, None) or getattr(client, kind, None)
    if made is None:  # object, a quantity, a port: anything
        return []
    if not isinstance(value, dict):
        return [f"{path}: not a {kind}"]
    names = {named: attribute for attribute, named in made.attribute_map.items()}
    found = [f"{path}.{name}: not in {kind}" for name in value.keys() - names.keys()]
    for name in value.keys() & names.keys():
        found += problems(value[name], made.openapi_types[names[name]], f"{path}.{name}")
    return found


for document in json.load(sys.stdin):
    for problem in problems(document, KINDS[document["kind"]].__name__, document["kind"]):
        print(problem)
