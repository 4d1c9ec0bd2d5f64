"""Where every request comes in: it gets its id, and what is asked all the time goes straight to its endpoint."""

import logging
import random
import re
import time
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.problems import answer_to, error_body
from app.engine.batcher import Batcher
from app.errors import ClientGone, QueueFull, ServiceError
from app.telemetry import Telemetry

_log = logging.getLogger("app.access")
_ID = b"x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_LONGEST_PATH = 200
_MUCH = 2**20

Endpoint = Callable[[Request], Awaitable[Response]]


class Entry:
    """The ASGI application around FastAPI's: gives a request the id that its client sent, or a new one.

    Args:
        app: what answers; its state is what endpoints work with.
        path: POSTs to it skip the framework, which would take longer over them than everything else here ...
        endpoint: ... and get to the same function that the framework would call.
        log: whether to log every request.
    """

    def __init__(self, app: FastAPI, path: str, endpoint: Endpoint, log: bool) -> None:
        self._app = app
        self._path = path
        self._endpoint = endpoint
        self._logs = log
        self._batcher: Batcher = app.state.batcher
        self._telemetry: Telemetry = app.state.telemetry
        self.state = app.state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == _ID), b"")
        request_id = given if _ACCEPTED.fullmatch(given) else b"%032x" % random.getrandbits(128)
        scope.setdefault("state", {})["request_id"] = request_id.decode()
        status = 0

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                message["headers"].append((_ID, request_id))
                status = message["status"]
            await send(message)

        if scope["path"] != self._path or scope["method"] != "POST":
            await self._app(scope, receive, send_marked)
        elif (refusal := self._batcher.refusal()) is not None:
            await self._refuse(refusal, request_id.decode(), receive, send_marked)
        else:
            await self._shortcut(scope, receive, send_marked)
        if self._logs:
            extra = {"request_id": request_id.decode(), "status": status, "seconds": time.perf_counter() - began}
            _log.info("%s %s", scope["method"], scope["path"][:_LONGEST_PATH], extra=extra)

    async def _refuse(self, error: ServiceError, request_id: str, receive: Receive, send: Send) -> None:
        """Costs as little as can be, and is not logged: there may be thousands a second.

        A body that is not much is let come first: a connection that is closed before it has come is reset, and the
        client may never read the answer.
        """
        self._telemetry.refused(error.code)
        left = _MUCH
        while left > 0 and (message := await receive()).get("more_body", False):
            left -= len(message["body"])
        body = error_body(error.code, error.message, request_id)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if isinstance(error, QueueFull):
            headers.append((b"retry-after", b"%d" % error.retry_after))
        await send({"type": "http.response.start", "status": error.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _shortcut(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = self._app
        request = Request(scope, receive)
        try:
            response = await self._endpoint(request)
        except (ClientGone, ClientDisconnect):
            return
        except Exception as error:  # what nobody foresaw is told as such
            response = answer_to(request, error)
        await response(scope, receive, send)
