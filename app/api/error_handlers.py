"""Turns every error into the one error body, with the id of its request."""

import logging

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import ClientGone, ServiceError

_log = logging.getLogger(__name__)

_CODES = {404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Registers the handlers for our errors, the framework's, and those nobody foresaw."""
    app.add_middleware(Unforeseen)

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> Response:
        return answer_to(request, error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "http_error")
        message = {
            404: f"no such path: {request.scope['path']}",
            405: f"{request.method} is not allowed here",
        }.get(error.status_code, str(error.detail))
        response = _respond(request, error.status_code, code, message)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid_path(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return _respond(request, 422, "invalid_input", first["msg"], ".".join(str(part) for part in first["loc"][1:]))


class Unforeseen:
    """Pure ASGI middleware: answers a failure nobody foresaw, and logs it, without ending the client's connection."""

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
                raise
            await answer_to(Request(scope), error)(scope, receive, send)


def answer_to(request: Request, error: Exception) -> Response:
    """The answer to a request that ended with an error; what a client cannot help is logged."""
    if not isinstance(error, ServiceError):
        _log.error("failed", exc_info=error, extra={"request_id": request.state.request_id})
        return _respond(request, 500, "internal_error", "the service failed on this request; its log says why")
    response = _respond(request, error.status, error.code, error.message, error.field)
    response.raw_headers.extend(extra_headers(error))
    if error.status == 500:
        _log.error("%s", error.message, extra={"request_id": request.state.request_id, "code": error.code})
    return response


def extra_headers(error: ServiceError) -> list[tuple[bytes, bytes]]:
    """What the answer to an error says beside its body."""
    headers = []
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


def _respond(request: Request, status: int, code: str, message: str, field: str | None = None) -> Response:
    status, body = problem(request.scope["path"], status, code, message, request.state.request_id, field)
    return Response(body, status, media_type="application/json")


def problem(
    path: str, status: int, code: str, message: str, request_id: str, field: str | None = None
) -> tuple[int, bytes]:
    """Status and body of an answer that is not a success; on /v2 those of the Open Inference Protocol."""
    if path == "/v2" or path.startswith("/v2/"):
        return 400 if status == 422 else status, orjson.dumps({"error": f"{field}: {message}" if field else message})
    error = {"code": code, "message": message, "request_id": request_id}
    return status, orjson.dumps({"error": {**error, "field": field} if field else error})
