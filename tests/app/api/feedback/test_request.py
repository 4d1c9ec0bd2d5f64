import json
from typing import Any

import pytest

from app.api.feedback.request import JSON, NDJSON, read
from app.errors import InvalidInput, MalformedBody, ServiceError, UnsupportedMediaType

ROWS: list[dict[str, Any]] = [{"receipt": "a", "truth": "coat"}, {"receipt": "b", "truth": 4}]
PAIRS = [("a", "coat"), ("b", 4)]


def whole(*rows: Any) -> bytes:
    return json.dumps({"feedback": rows}).encode()


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_json_and_lines_say_the_same() -> None:
    assert read(whole(*ROWS), JSON, 2) == PAIRS
    assert read(lines(*ROWS), f"{NDJSON}; charset=utf-8", 2) == PAIRS
    assert read(b"\r\n" + lines(*ROWS).replace(b"\n", b"\r\n\r\n"), NDJSON, 5) == PAIRS
    assert read(lines(*ROWS).strip(), NDJSON, 2) == PAIRS


def test_truths_of_every_kind() -> None:
    truths = ["a", 1, 1.5, [1.0, 2.5]]
    assert [truth for _, truth in read(lines(*({"receipt": "", "truth": one} for one in truths)), NDJSON, 9)] == truths


@pytest.mark.parametrize(
    ("body", "kind", "error", "field"),
    [
        (b"{}", "text/plain", UnsupportedMediaType, None),
        (b"", JSON, MalformedBody, None),
        (b"{}", JSON, InvalidInput, None),
        (b'{"feedback": []}', JSON, InvalidInput, "feedback"),
        (whole(*ROWS, *ROWS), JSON, InvalidInput, "feedback"),
        (
            json.dumps({"feedback": [ROWS[0], {"receipt": 1, "truth": 1}]}).encode(),
            JSON,
            InvalidInput,
            "feedback[1].receipt",
        ),
        (whole({"receipt": "a", "truth": None}), JSON, InvalidInput, "feedback[0].truth"),
        (
            json.dumps({"feedback": [{"receipt": "a" * 9000, "truth": 1}]}).encode(),
            JSON,
            InvalidInput,
            "feedback[0].receipt",
        ),
        (b"", NDJSON, InvalidInput, "feedback"),
        (lines(*ROWS, *ROWS), NDJSON, InvalidInput, "feedback"),
        (lines(ROWS[0], {"receipt": "a"}), NDJSON, InvalidInput, "feedback[1]"),
        (lines(ROWS[0], {"receipt": "a", "truth": {}}), NDJSON, InvalidInput, "feedback[1].truth"),
        (lines(ROWS[0]) + b"nonsense", NDJSON, MalformedBody, "feedback[1]"),
        (lines(ROWS[0]) + b"\xff", NDJSON, MalformedBody, "feedback[1]"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, kind: str, error: type[ServiceError], field: str | None) -> None:
    with pytest.raises(error) as refused:
        read(body, kind, 3)
    assert refused.value.field == field


def test_a_number_too_large_for_anything_is_no_truth() -> None:
    with pytest.raises((InvalidInput, MalformedBody)):
        read(b'{"feedback": [{"receipt": "a", "truth": 1e999}]}', JSON, 1)
