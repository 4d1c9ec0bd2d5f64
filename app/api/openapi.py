"""The OpenAPI document: FastAPI's, plus what the routes' signatures cannot say."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.error_responses import HEADERS, add_common, on_no_route
from app.api.examples import ANSWERS
from app.api.feedback.request import FeedbackRequest
from app.api.predict.openapi import request_schemas
from app.api.struct_schemas import components
from app.api.v2.openapi import REQUESTS as V2_REQUESTS
from app.auth.guard import needed
from app.contract.contract_model import ContractModel
from app.errors import ConnectionsFull, MalformedRequest, MethodNotAllowed, NotFound, PipelineFull

TITLE = "Masksembles service"
DESCRIPTION = """\
Predictions that say how sure they are. Every model is a set of N submodels in one network (Masksembles, Durasov et
al., CVPR 2021); a request's rows go through all of them at once, and the answer holds what each of them says, their
mean, and two measures of doubt, in nats: `entropy`, the whole uncertainty, and `mutual_information`, the part of it
that is the model's own ignorance. A policy makes a decision of them: accept the answer, defer it, or reject it.
"""

_ON_NO_ROUTE = (MalformedRequest, NotFound, MethodNotAllowed, ConnectionsFull, PipelineFull)
"""Errors of requests that reach no route."""
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key; needless where the service has none"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same in another header"},
}


def _open(schema: dict[str, Any]) -> None:
    """Lets a part of the contract grow: its reader is strict, but clients must accept new fields."""
    schema.pop("additionalProperties", None)
    for field in schema["properties"].values():
        field.pop("maxItems", None)
        field.pop("const", None)


def _without_null_defaults(part: Any) -> Any:
    """Removes `default: null`: some generators take a field with a default to be always present."""
    if isinstance(part, dict):
        return {
            name: _without_null_defaults(value)
            for name, value in part.items()
            if name != "default" or value is not None
        }
    return [_without_null_defaults(value) for value in part] if isinstance(part, list) else part


def install(app: FastAPI) -> None:
    """Adds the schemas of bodies that are decoded by hand, the errors, and which paths need a key."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            made["components"]["schemas"] |= {**request_schemas(), **components([FeedbackRequest, *V2_REQUESTS])}
            made["components"]["securitySchemes"] = _SECURITY
            made["components"]["headers"] = HEADERS
            made["components"]["responses"] = on_no_route(_ON_NO_ROUTE)
            made["security"] = [{"bearer": []}, {"header": []}, {}]  # {}: a service may have no keys
            for path, operations in made["paths"].items():
                for operation in operations.values():
                    add_common(path, operation["responses"])
                    for response in operation["responses"].values():
                        marked = response.setdefault("headers", {})
                        for name in ("X-Request-ID", "traceparent"):
                            marked[name] = {"$ref": f"#/components/headers/{name}"}
                    if (example := ANSWERS.get(operation["operationId"])) is not None:
                        operation["responses"]["200"]["content"]["application/json"]["example"] = example
                    if needed(path) is None:
                        operation["security"] = []
            for part in ContractModel.__subclasses__():
                if (schema := made["components"]["schemas"].get(part.__name__)) is not None:
                    _open(schema)
            app.openapi_schema = _without_null_defaults(made)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
