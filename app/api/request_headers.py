"""Request headers that more than one protocol reads, for the OpenAPI document."""

from typing import Any

TIMEOUT: dict[str, Any] = {
    "name": "X-Request-Timeout-Ms",
    "in": "header",
    "required": False,
    "description": "How long the rows may wait for a device and run on it, in milliseconds; at most, and by default, "
    "what the setting MASKSEMBLES_QUEUE_TIMEOUT_MS says",
    "schema": {"type": "integer", "minimum": 1, "maximum": 999_999_999},
}
