"""The format of error bodies by path: the protocol's own, or ours."""

from typing import Any

from app.api.error_format import ErrorFormat
from app.api.schemas.errors import ErrorBody
from app.api.v2.error_format import V2


def _content(code: str, message: str, field: str | None, request_id: str) -> dict[str, Any]:
    content = {"code": code, "message": message, "request_id": request_id}
    return {"error": {**content, "field": field} if field else content}


OURS = ErrorFormat("", ErrorBody, _content)
_FORMATS = (V2, OURS)  # ours last: it covers every path


def format_of(path: str) -> ErrorFormat:
    """The error format of a path."""
    return next(form for form in _FORMATS if form.covers(path))
