"""The error body of the Open Inference Protocol: one text, the field before the message.

tritonclient requires the key `error`; without it, it reports an error of its own.
"""

from typing import Any

from app.api.error_format import ErrorFormat
from app.api.v2.schemas import V2Error


def _content(code: str, message: str, field: str | None, request_id: str) -> dict[str, Any]:
    return {"error": f"{field}: {message}" if field else message}


def _status(status: int) -> int:
    """Maps 422, which the protocol does not know, to 400."""
    return 400 if status == 422 else status


V2 = ErrorFormat("/v2", V2Error, _content, _status)
