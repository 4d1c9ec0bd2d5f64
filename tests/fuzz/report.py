"""The record of `make fuzz`, where FUZZ_JSON names a file for it."""

import os
from pathlib import Path
from typing import Any

from tests.bench import record
from tests.fuzz.size import EXAMPLES

_found: dict[str, Any] = {}


def note(name: str, **found: Any) -> None:
    """Adds what one kind of requests came to."""
    _found[name] = found
    print(f"{name}: {found}")
    if path := os.environ.get("FUZZ_JSON"):
        record.write(Path(path), f"make fuzz EXAMPLES={EXAMPLES}", _found)
