"""Responses of the service with the shipped models, for the OpenAPI document; some long parts are left out."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


def _load(name: str) -> Any:
    return json.loads((_FOLDER / name).read_text())


REQUEST = _load("request.json")
ANSWER = _load("answer.json")
ANSWERS = {**_load("answers.json"), "predict": ANSWER}
"""Example responses by operation id."""
