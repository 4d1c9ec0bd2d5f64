"""Errors in the OpenAPI document: a response for each status, with an example for each class of error."""

from collections.abc import Iterable
from typing import Any

from app.api.error_format import ErrorFormat
from app.api.error_formats import OURS, format_of
from app.auth.guard import needed
from app.errors import HeadersTooLarge, InsufficientScope, RateLimited, ServiceError, Unauthorized

_REQUEST_ID = "8f14e45fceea4672a5b2f9a1c0d3e7b6"
_EVERYWHERE = (HeadersTooLarge, ServiceError)
_GUARDED = (Unauthorized, InsufficientScope, RateLimited)

HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {"description": "As in the request, or a new one", "schema": {"type": "string"}},
    "traceparent": {
        "description": "The trace of the request, which is the caller's where it sent a valid `traceparent`, and the "
        "span of the service in it (W3C Trace Context)",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "In how many seconds to try again; not always there", "schema": {"type": "integer"}},
    "WWW-Authenticate": {"description": "Bearer", "schema": {"type": "string"}},
    "Allow": {"description": "The methods that the path has", "schema": {"type": "string"}},
}
"""Header components of the document."""


def errors(*kinds: type[ServiceError], form: ErrorFormat = OURS) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route for these errors; `add_common` adds those that every route can have."""
    responses: dict[int | str, dict[str, Any]] = {}
    for status, kind in sorted(((form.status(kind.status), kind) for kind in kinds), key=lambda pair: pair[0]):
        _add(responses.setdefault(status, {"model": form.model}), kind, form)
    return responses


def add_common(path: str, responses: dict[str, dict[str, Any]]) -> None:
    """Adds the errors of every path, or of every path that needs a key, to the responses of an operation."""
    form = format_of(path)
    for kind in (*_EVERYWHERE, *(_GUARDED if needed(path) is not None else ())):
        response = responses.setdefault(str(form.status(kind.status)), {})
        _add(response, kind, form)
        response["content"]["application/json"].setdefault("schema", _reference(form))


def on_no_route(kinds: Iterable[type[ServiceError]]) -> dict[str, dict[str, Any]]:
    """Responses by error code, for errors that belong to no route."""
    found: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        _add(found.setdefault(kind.code, {}), kind, OURS)
        found[kind.code]["content"]["application/json"]["schema"] = _reference(OURS)
    return found


def _reference(form: ErrorFormat) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{form.model.__name__}"}


def _add(response: dict[str, Any], kind: type[ServiceError], form: ErrorFormat) -> None:
    """Adds a class of errors to the response for its status."""
    said = [response["description"]] if "description" in response else []
    response["description"] = "; ".join([*said, kind.summary])
    for name in kind.headers:
        response.setdefault("headers", {})[name] = {"$ref": f"#/components/headers/{name}"}
    examples = response.setdefault("content", {}).setdefault("application/json", {}).setdefault("examples", {})
    value = form.content(kind.code, kind.example, kind.example_field, _REQUEST_ID)
    examples[kind.code] = {"summary": kind.summary, "value": value}
