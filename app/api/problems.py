"""Turns every error into the one error body, with the id of its request."""

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.schemas import Error, ErrorBody
from app.errors import ServiceError

_log = logging.getLogger(__name__)

_CODES = {404: "not_found", 405: "method_not_allowed"}


def install(app: FastAPI) -> None:
    """Registers the handlers for our errors, the framework's, and those nobody foresaw."""
    app.add_middleware(Unforeseen)

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> JSONResponse:
        if error.status >= 500:
            _log.error("request %s: %s: %s", request.state.request_id, error.code, error.message)
        return _respond(request, error.status, error.code, error.message, error.field)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "http_error")
        message = {
            404: f"no such path: {request.url.path}",
            405: f"{request.method} is not allowed here",
        }.get(error.status_code, str(error.detail))
        response = _respond(request, error.status_code, code, message)
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid_path(request: Request, error: RequestValidationError) -> JSONResponse:
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
        except ClientDisconnect:  # while its body was read: nobody is left to answer
            return
        except Exception:
            if scope["type"] != "http" or started:
                raise
            request = Request(scope)
            _log.exception("request %s failed", request.state.request_id)
            message = "the service failed on this request; its log says why"
            await _respond(request, 500, "internal_error", message)(scope, receive, send)


def _respond(request: Request, status: int, code: str, message: str, field: str | None = None) -> JSONResponse:
    error = Error(code=code, message=message, field=field or None, request_id=request.state.request_id)
    return JSONResponse(ErrorBody(error=error).model_dump(exclude_none=True), status)
