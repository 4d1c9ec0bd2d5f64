"""Reads a contract of this schema version or an earlier one.

Each earlier version has one step here, which turns its document into one of the next version.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from app.contract.schema import SCHEMA_VERSION, Contract

MOST_CHARACTERS = 4 * 2**20
"""The longest contract that is read: ImageNet's 21 841 classes with all their synonyms take a quarter of it."""
_LARGEST = 2**63  # of whole numbers: what reads the service's answers may know none above


class ContractError(ValueError):
    """A contract is missing, newer than this reader, or wrong in a field that the message names."""


def read(text: str) -> Contract:
    """Reads the contract in a file's metadata.

    Its `schema_version` stays that of the file.

    Raises:
        ContractError: the text is not JSON, too long, is newer than this reader, or a field is wrong.
    """
    if len(text) > MOST_CHARACTERS:
        raise ContractError(f"the contract has {len(text)} characters; at most {MOST_CHARACTERS} are read")
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_int
        )
    except ValueError as error:
        raise ContractError(f"the contract is not JSON: {error}") from None
    except RecursionError:
        raise ContractError("the contract is nested too deeply") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):  # to Python, true is the number 1
        raise ContractError("schema_version: the contract has none")
    if version > SCHEMA_VERSION:
        raise ContractError(f"schema_version: {version} is newer than {SCHEMA_VERSION}, the newest known here")
    for before, step in _STEPS.items():
        if version <= before:
            step(document)
    try:
        return Contract.model_validate_json(json.dumps(document))  # JSON mode takes lists for tuples
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "contract"
        raise ContractError(f"{field}: {first['msg']}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:  # which of the two holds would depend on the reader
            raise ValueError(f"it has {name!r} twice in one object")
        found[name] = value
    return found


def _constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{_short(text)} is too large a number")
    return value


def _int(text: str) -> int:
    if len(text) > 20 or abs(value := int(text)) >= _LARGEST:  # the length first: reading many digits takes long
        raise ValueError(f"{_short(text)} is too large a whole number")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:20]}… ({len(text)} characters)"


_OF_HEADS = ("task", "labels", "targets", "outputs", "calibration", "policy", "evaluation")


def _from_4(document: dict[str, Any]) -> None:
    """Version 5 has heads, of which earlier models have one without a name; it renames a threshold's `certainty` to the
    usual `confidence_level`, and its `promise` to `guarantee`."""
    document["heads"] = [{name: document.pop(name) for name in _OF_HEADS if name in document}]
    calibration = document["heads"][0].get("calibration")
    thresholds = calibration.get("thresholds") if isinstance(calibration, dict) else None
    # unvalidated: what has another shape is left for the schema to reject
    for threshold in thresholds if isinstance(thresholds, list) else ():
        for old, new in (("certainty", "confidence_level"), ("promise", "guarantee")):
            if isinstance(threshold, dict) and old in threshold:
                threshold[new] = threshold.pop(old)


_STEPS: dict[int, Callable[[dict[str, Any]], None]] = {4: _from_4}
"""Steps by the last version that needs them; versions 1 to 4 differ only in optional fields."""
