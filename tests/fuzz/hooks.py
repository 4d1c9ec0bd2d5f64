"""What schemathesis is told about HTTP: a header that nobody knows is to be ignored, not to be refused, and NDJSON is
sent as it was generated."""

import json
from typing import Any

import schemathesis

UNKNOWN = "x-schemathesis-unknown-property"


@schemathesis.hook
def filter_case(_: Any, case: schemathesis.Case[Any]) -> bool:
    return UNKNOWN not in (case.headers or {})


@schemathesis.serializer("application/x-ndjson")
def ndjson(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
