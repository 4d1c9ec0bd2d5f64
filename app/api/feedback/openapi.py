"""What the OpenAPI document says about the body of /feedback."""

from typing import Any

from app.api.feedback.request import JSON, NDJSON

_RECEIPT = "mgGtZmFzaGlvbi1tbmlzdAOgzmko"
_EXAMPLE = {"receipt": _RECEIPT, "truth": "coat"}

REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        JSON: {
            "schema": {"$ref": "#/components/schemas/FeedbackRequest"},
            "example": {"feedback": [_EXAMPLE, {"receipt": _RECEIPT, "truth": 4}]},
        },
        NDJSON: {
            "schema": {"type": "string", "format": "binary", "description": "The same objects, one a line"},
            "example": f'{{"receipt": "{_RECEIPT}", "truth": "coat"}}\n',
        },
    },
}
