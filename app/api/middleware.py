"""The entry of every request: gives it an id, and sends frequent requests straight to their endpoint."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import request_ids
from app.api.error_formats import format_of
from app.api.error_handlers import answer_to, extra_headers, problem
from app.api.request_metrics import code_of
from app.api.security_headers import security_headers
from app.api.services import Services
from app.auth.guard import Guard
from app.errors import ServiceError
from app.failures import ClientGone
from app.telemetry import trace_context
from app.telemetry.tracing import Trace

_log = logging.getLogger("app.access")
_LONGEST_PATH = 200  # characters of a path in the log
_PART = 2**18  # bytes of an answer that wait for the client outside of the memory budget

Endpoint = Callable[[Request], Awaitable[Response]]


class Gateway:
    """The ASGI application around FastAPI's: gives a request the id that its client sent, or a new one, and admits it.

    Pure ASGI, because BaseHTTPMiddleware hides the client's disconnect.

    Args:
        app: the application behind it.
        endpoints: endpoints by path; `{name}` stands for any one part of it. POSTs to them skip the framework, which
            would take longer than everything else here, and call the same function that the framework would call.
        guard: decides who is let in.
        services: the parts of the service; their settings say whether to log every request, and which origins may call.
    """

    def __init__(self, app: FastAPI, endpoints: Mapping[str, Endpoint], guard: Guard, services: Services) -> None:
        settings = services.settings
        self._app = app
        self._endpoints = endpoints
        self._patterns = [(compile_path(path)[0], path) for path in endpoints if "{" in path]
        self._guard = guard
        self._logs = settings.access_log
        self._answers_pages = bool(settings.cors_origins)
        self._batcher = services.batcher
        self._telemetry = services.telemetry
        self._tracing = services.tracing
        self.services = services
        self._inside: ASGIApp = self._admit
        if settings.cors_origins:  # outside of admission: a preflight carries no key, and a page may read refusals
            self._inside = CORSMiddleware(
                self._admit,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST"],
                allow_headers=[
                    "Authorization",
                    "Content-Encoding",
                    "Content-Type",
                    "Inference-Header-Content-Length",
                    "X-API-Key",
                    "X-Request-ID",
                    "X-Request-Timeout-Ms",
                    "traceparent",
                    "tracestate",
                ],
                expose_headers=["Inference-Header-Content-Length", "X-Request-ID", "Retry-After", "traceparent"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        if scope["method"] == "HEAD":  # uvicorn leaves out the body
            scope = {**scope, "method": "GET"}
        request_id = request_ids.id_of(scope["headers"])
        state = scope.setdefault("state", {})
        state["request_id"] = request_id.decode()
        state["route"] = route = self._route(scope) if scope["method"] == "POST" else None
        state["trace"] = trace = self._tracing.begin(scope, route)
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                headers = message["headers"]
                headers += security_headers(scope["path"])
                headers.append((request_ids.HEADER, request_id))
                headers.append((trace_context.HEADER, trace.header))
                status = message["status"]
            if len(message.get("body", b"")) <= _PART:
                await send(message)
            else:
                await _send_in_parts(send, message)

        try:
            with self.services.memory.hold() as held:  # out here, so that whatever ends the request releases it
                state["memory"] = held
                await self._inside(scope, receive, send_marked)
        finally:
            trace.end(status)
        if self._logs:
            self._note(scope, request_id, trace, status, began)

    def refusable(self, scope: Scope) -> str | None:
        """The route of a request that `turn_away` may answer while the queue is full."""
        if scope["method"] != "POST":
            return None
        if self._answers_pages and any(name == b"origin" for name, _ in scope["headers"]):
            return None  # its answer has more headers
        return self._route(scope)

    def turn_away(self, scope: Scope, route: str, full: ServiceError) -> tuple[ServiceError, bytes, bytes]:
        """What a request gets that has not begun and is not to begin: an error, its id, and the header of its trace.

        Args:
            route: what `refusable` said.
            full: why nobody is let in; who is not known, or asks too often, learns that instead.
        """
        began = time.perf_counter()
        error = full
        try:
            self._guard.admit(scope["path"], scope["headers"])
        except ServiceError as other:
            error = other
        self._telemetry.rejected(error.code)
        request_id = request_ids.id_of(scope["headers"])
        trace = self._tracing.begin(scope, route)
        trace.failed(error.code)
        status = format_of(scope["path"]).status(error.status)
        trace.end(status)
        if self._logs:
            self._note(scope, request_id, trace, status, began)
        return error, request_id, trace.header

    def _note(self, scope: Scope, request_id: bytes, trace: Trace, status: int, began: float) -> None:
        extra = {
            "request_id": request_id.decode(),
            "trace_id": trace.trace_id,
            "status": status,
            "seconds": time.perf_counter() - began,
        }
        _log.info("%s %s", scope["method"], scope["path"][:_LONGEST_PATH], extra=extra)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._guard.admit(scope["path"], scope["headers"])
        except ServiceError as error:
            self._telemetry.rejected(error.code)
            await self._refuse(error, scope, send)
            return
        route: str | None = scope["state"]["route"]
        if route is None:
            await self._app(scope, receive, send)
        elif (refusal := self._batcher.refusal()) is not None:
            self._telemetry.rejected(refusal.code)
            await self._refuse(refusal, scope, send)
        else:
            await self._shortcut(self._endpoints[route], scope, receive, send)

    def _route(self, scope: Scope) -> str | None:
        """The path of the endpoint that a request goes to, with the names of its parameters."""
        if (path := scope["path"]) in self._endpoints and "{" not in path:
            return str(path)
        for pattern, route in self._patterns:
            if (found := pattern.fullmatch(path)) is not None:
                scope["path_params"] = found.groupdict()
                return route
        return None

    async def _refuse(self, error: ServiceError, scope: Scope, send: Send) -> None:
        """Answers with an error, as cheaply as possible and without a log line: there may be thousands a second."""
        request_id = scope["state"]["request_id"]
        scope["state"]["trace"].failed(error.code)
        status, body = problem(scope["path"], error, request_id)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers += extra_headers(error)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _shortcut(self, endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self._app  # FastAPI would set it
        request = Request(scope, receive)
        trace: Trace = scope["state"]["trace"]
        try:
            response = await endpoint(request)
        except (ClientGone, ClientDisconnect) as error:
            trace.failed(code_of(error))
            return
        except Exception as error:  # the framework's handlers are not around this
            trace.failed(code_of(error))
            response = answer_to(request, error)
        trace.step("send")
        await response(scope, receive, send)


async def _send_in_parts(send: Send, message: Message) -> None:
    """Sends a long body in parts, since the server waits for a slow client only between messages."""
    body: bytes = message["body"]
    for at in range(0, len(body), _PART):
        more = at + _PART < len(body) or message.get("more_body", False)
        await send({"type": message["type"], "body": body[at : at + _PART], "more_body": more})
