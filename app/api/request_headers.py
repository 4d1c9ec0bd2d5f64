"""Request headers that more than one protocol reads, for the OpenAPI document."""

from typing import Any

from app.api.request_ids import MAX_ID_LENGTH

TIMEOUT: dict[str, Any] = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "How long the rows may wait for a device and run on it, in milliseconds; at most, and by default, "
    "what the setting MASKSEMBLES_QUEUE_TIMEOUT_MS says",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}
REQUEST_ID: dict[str, Any] = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "description": "A name for the request, which the answer, an error and the log repeat; without it, it gets one",
    "schema": {"type": "string", "maxLength": MAX_ID_LENGTH},
}
