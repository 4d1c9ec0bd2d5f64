"""Reads a contract of this schema version or an earlier one.

Each earlier version has one step here, which turns its document into one of the next version.
"""

import json
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from app.contract.schema import SCHEMA_VERSION, Contract


class ContractError(ValueError):
    """A contract is missing, newer than this reader, or wrong in a field that the message names."""


def read(text: str) -> Contract:
    """Reads the contract in a file's metadata.

    Its `schema_version` stays that of the file.

    Raises:
        ContractError: the text is not JSON, is newer than this reader, or a field is wrong.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ContractError(f"the contract is not JSON: {error}") from None
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


def _from_4(document: dict[str, Any]) -> None:
    """Version 5 renames a threshold's `certainty` to the usual `confidence_level`, and its `promise` to `guarantee`."""
    calibration = document.get("calibration")
    thresholds = calibration.get("thresholds") if isinstance(calibration, dict) else None
    # unvalidated: what has another shape is left for the schema to reject
    for threshold in thresholds if isinstance(thresholds, list) else ():
        for old, new in (("certainty", "confidence_level"), ("promise", "guarantee")):
            if isinstance(threshold, dict) and old in threshold:
                threshold[new] = threshold.pop(old)


_STEPS: dict[int, Callable[[dict[str, Any]], None]] = {4: _from_4}
"""Steps by the last version that needs them; versions 1 to 4 differ only in optional fields."""
