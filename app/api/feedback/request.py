"""The body of a request with feedback: JSON, or an object a line."""

from typing import Annotated

import msgspec
from msgspec import Meta

from app.api.json_errors import NOT_JSON, malformed, place
from app.errors import InvalidInput, UnsupportedMediaType
from app.feedback.tasks.task import Truth

JSON = "application/json"
NDJSON = "application/x-ndjson"
_LONGEST = 8192  # characters of a receipt; the largest that are issued have half of that


class RowFeedback(msgspec.Struct, forbid_unknown_fields=True):
    """A receipt, and what turned out to be true of its row."""

    receipt: Annotated[str, Meta(max_length=_LONGEST, description="As the answer had it")]
    truth: Annotated[
        str | int | float | list[float],
        Meta(
            description="Of a classifier the label, or its index among the model's labels; of a regressor the number, "
            "or D numbers in the order of the targets"
        ),
    ]


class FeedbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Receipts with their truths, in any order."""

    feedback: Annotated[list[RowFeedback], Meta(min_length=1)]


_whole = msgspec.json.Decoder(FeedbackRequest)
_lines = msgspec.json.Decoder(RowFeedback)


def read(body: bytes, content_type: str, most: int) -> list[tuple[str, Truth]]:
    """Receipts and truths of a request.

    Args:
        most: most rows.

    Raises:
        UnsupportedMediaType: it is neither JSON nor NDJSON.
        MalformedBody: the body is not of that type.
        InvalidInput: a field is missing, unknown or of the wrong type; or there are no rows or too many.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, NDJSON):
        raise UnsupportedMediaType(f"expected Content-Type: {JSON}, {NDJSON}; got {kind or 'none'}")
    rows = _read_lines(body, most) if kind == NDJSON else _read(body)
    if not 1 <= len(rows) <= most:
        raise InvalidInput(f"expected 1 to {most} rows (MASKSEMBLES_MAX_ROWS), got {len(rows)}", "feedback")
    return [(row.receipt, row.truth) for row in rows]


def _read(body: bytes) -> list[RowFeedback]:
    try:
        return _whole.decode(body).feedback
    except msgspec.ValidationError as error:
        message, field = place(error)
        raise InvalidInput(message, field or None) from None
    except NOT_JSON as error:
        raise malformed(body, error) from None


def _read_lines(body: bytes, most: int) -> list[RowFeedback]:
    """Reads an object a line; empty lines do not count."""
    rows: list[RowFeedback] = []
    for line in filter(None, map(bytes.strip, body.split(b"\n", most + 1))):
        if len(rows) == most:  # the last part may be all that is left of the body
            raise InvalidInput(f"expected 1 to {most} rows (MASKSEMBLES_MAX_ROWS), got more", "feedback")
        try:
            rows.append(_lines.decode(line))
        except msgspec.ValidationError as error:
            message, field = place(error)
            raise InvalidInput(message, f"feedback[{len(rows)}]" + (f".{field}" if field else "")) from None
        except NOT_JSON as error:
            told = malformed(line, error)
            told.field = f"feedback[{len(rows)}]"
            raise told from None
    return rows
