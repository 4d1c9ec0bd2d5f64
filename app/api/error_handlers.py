"""Turns every error into the error body of its path, with the request id."""

import logging
from collections.abc import Mapping

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.error_formats import format_of
from app.errors import InvalidInput, MethodNotAllowed, NotFound, ServiceError
from app.failures import ClientGone

_log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Registers the handlers for our errors, the framework's, and unexpected ones."""
    app.add_middleware(Unforeseen)  # a handler of Exception would run outermost, and Starlette raises again after it

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        return answer_to(request, error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        response = answer_to(request, _of_framework(request, error))
        response.headers.update(error.headers or {})  # Allow, with a 405
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid_path(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return answer_to(request, InvalidInput(first["msg"], ".".join(str(part) for part in first["loc"][1:])))


class Unforeseen:
    """Pure ASGI middleware: answers and logs an unexpected failure without closing the client's connection.

    Not a BaseHTTPMiddleware, which hides the client's disconnect from the endpoint.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except (ClientDisconnect, ClientGone):  # nobody is left to answer
            return
        except Exception as error:
            if scope["type"] != "http" or started:
                raise  # half an answer cannot be taken back: the server closes the connection
            await answer_to(Request(scope), error)(scope, receive, send)


def answer_to(request: Request, error: Exception) -> Response:
    """The response to a request that ended with an error; failures of the service are logged."""
    request_id = request.state.request_id
    ids = {"request_id": request_id, "trace_id": request.state.trace.trace_id}
    shown = shown_as(error, ids)
    status, body = problem(request.scope["path"], shown, request_id)
    response = Response(body, status, media_type="application/json")
    response.raw_headers.extend(extra_headers(shown))
    return response


def shown_as(error: Exception, ids: Mapping[str, str]) -> ServiceError:
    """What the client sees of an error; failures of the service are logged, with these ids of the request."""
    if not isinstance(error, ServiceError):
        _log.error("failed", exc_info=error, extra=ids)
        return ServiceError(ServiceError.example)  # its text may hold paths or data: only the log gets it
    if error.status == 500:
        _log.error("%s", error.message, extra={**ids, "code": error.code})
    return error


def extra_headers(error: ServiceError) -> list[tuple[bytes, bytes]]:
    """The headers that belong to an error."""
    headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def problem(path: str, error: ServiceError, request_id: str) -> tuple[int, bytes]:
    """Status and body for an error, in the format of its path."""
    form = format_of(path)
    return form.status(error.status), orjson.dumps(form.content(error.code, error.message, error.field, request_id))


def _of_framework(request: Request, error: HTTPException) -> Exception:
    """Maps the framework's own errors to ours; all but these two are unexpected."""
    if error.status_code == NotFound.status:
        return NotFound(f"no such path: {request.scope['path']}")
    if error.status_code == MethodNotAllowed.status:
        return MethodNotAllowed(f"{request.method} is not allowed here")
    return error
