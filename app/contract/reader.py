"""Reads a contract of this schema version or an earlier one.

Each earlier version has one step here that turns its document into that of the next version.
"""

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from app.contract.schema import SCHEMA_VERSION, Contract


class ContractError(ValueError):
    """A contract is missing, newer than this reader, or wrong in a field that the message names."""


def read(text: str) -> Contract:
    """The contract in a file's metadata.

    Its `schema_version` stays the one that the file has.

    Raises:
        ContractError: it is not JSON, is newer than this reader, or a field is wrong.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ContractError(f"the contract is not JSON: {error}") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise ContractError("schema_version: the contract has none")
    if version > SCHEMA_VERSION:
        raise ContractError(f"schema_version: {version} is newer than {SCHEMA_VERSION}, the newest known here")
    for before, step in _STEPS.items():
        if version <= before:
            step(document)
    try:
        return Contract.model_validate_json(json.dumps(document))  # JSON mode: lists are tuples, and numbers not texts
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "contract"
        raise ContractError(f"{field}: {first['msg']}") from None


def _from_4(document: dict[str, Any]) -> None:
    """Version 5 calls a threshold's `certainty` by its name in the field, `confidence_level`."""
    calibration = document.get("calibration")
    thresholds = calibration.get("thresholds") if isinstance(calibration, dict) else None
    for threshold in thresholds if isinstance(thresholds, list) else ():
        if isinstance(threshold, dict) and "certainty" in threshold:
            threshold["confidence_level"] = threshold.pop("certainty")


_STEPS: dict[int, Callable[[dict[str, Any]], None]] = {4: _from_4}
"""By the last version that needs it; versions 1 to 4 differ in fields that may be absent, and in nothing else."""
