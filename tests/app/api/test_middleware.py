"""The gateway by itself, around applications that only note what comes."""

import asyncio
import logging
from types import SimpleNamespace
from typing import cast

import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.memory import MemoryBudget
from app.api.middleware import Gateway
from app.api.services import Services
from app.auth.guard import Guard
from app.errors import InvalidInput, QueueFull, ServiceError, Unauthorized
from app.failures import ClientGone
from app.telemetry.trace_context import context_of
from app.telemetry.tracing import Tracing


class Door:
    """A gateway and what it is between: an application that answers `framework`, an endpoint that answers `shortcut`.

    Args:
        no: what the guard says to everybody.
        full: what the batcher says to everybody.
        error: what the endpoint raises.
        answer: what the endpoint answers.
    """

    def __init__(
        self, *, no: ServiceError | None = None, full: ServiceError | None = None, error: Exception | None = None,
        access_log: bool = False, answer: bytes = b"shortcut",
    ) -> None:  # fmt: skip
        self.memory = MemoryBudget(2**20)
        self.held: list[int] = []
        self._answer = answer
        self.scopes: list[Scope] = []
        self.rejected: list[str] = []
        self.taken = 0
        self._error = error

        def admit(path: str, headers: object) -> None:
            if no is not None:
                raise no

        services = SimpleNamespace(
            settings=SimpleNamespace(access_log=access_log, cors_origins=()),
            batcher=SimpleNamespace(refusal=lambda: full),
            telemetry=SimpleNamespace(rejected=self.rejected.append),
            memory=self.memory,
            tracing=Tracing(),
        )
        endpoints = {"/predict": self._endpoint, "/v2/models/{name}/infer": self._endpoint}
        guard = cast(Guard, SimpleNamespace(admit=admit))
        self.gateway = Gateway(cast(FastAPI, self._framework), endpoints, guard, cast(Services, services))

    async def _framework(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "http":
            await Response("framework")(scope, receive, send)

    async def _endpoint(self, request: Request) -> Response:
        self.scopes.append(request.scope)
        request.scope["state"]["memory"].resize(1000)
        if self._error is not None:
            raise self._error
        return Response(self._answer)

    def ask(self, method: str, path: str, *body: bytes, kind: str = "http") -> tuple[list[Message], dict[bytes, bytes]]:
        """What is sent, and the headers of the answer by name."""
        sent: list[Message] = []
        parts = [{"type": "http.request", "body": part, "more_body": True} for part in body]
        waiting = iter([*parts, {"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Message:
            self.taken += 1
            return next(waiting)

        async def send(message: Message) -> None:
            self.held.append(self.memory.held)
            sent.append(message)

        scope = {"type": kind, "method": method, "path": path, "headers": [(b"x-request-id", b"abc")]}
        asyncio.run(self.gateway(scope, receive, send))
        return sent, dict(sent[0]["headers"]) if sent else {}


def text(sent: list[Message]) -> str:
    return b"".join(message.get("body", b"") for message in sent).decode()


@pytest.mark.parametrize("error", [Unauthorized("no key"), InvalidInput("no")])
@pytest.mark.parametrize("path", ["/predict", "/models", "/v2/models/a/infer"])
def test_who_is_not_let_in_reaches_nobody_and_is_counted(error: ServiceError, path: str) -> None:
    door = Door(no=error)
    sent, headers = door.ask("POST", path)
    assert error.message in text(sent)
    assert headers[b"content-length"] == str(len(text(sent))).encode()
    assert headers[b"x-request-id"] == b"abc"
    assert b"content-security-policy" in headers
    assert (door.scopes, door.rejected) == ([], [error.code])


def test_a_full_queue_refuses_predictions_and_nothing_else() -> None:
    door = Door(full=QueueFull("full", retry_after=3))
    sent, headers = door.ask("POST", "/predict")
    assert (sent[0]["status"], headers[b"retry-after"]) == (503, b"3")
    assert door.rejected == ["queue_full"]
    for method, path in (("GET", "/predict"), ("POST", "/predict/"), ("GET", "/metrics"), ("POST", "/v2/models/a")):
        assert text(door.ask(method, path)[0]) == "framework"


def test_a_refusal_reads_nothing() -> None:
    door = Door(no=Unauthorized("no key"))
    door.ask("POST", "/predict", b"x" * 1000)
    assert door.taken == 0


@pytest.mark.parametrize(
    ("path", "parameters"),
    [("/predict", None), ("/v2/models/a/infer", {"name": "a"}), ("/v2/models/ü/infer", {"name": "ü"})],
)
def test_what_is_asked_all_the_time_skips_the_framework(path: str, parameters: dict[str, str] | None) -> None:
    door = Door()
    assert text(door.ask("POST", path)[0]) == "shortcut"
    assert door.scopes[0].get("path_params") == parameters
    assert text(door.ask("GET", path)[0]) == "framework"


@pytest.mark.parametrize("path", ["/v2/models/a/b/infer", "/v2/models//infer", "/v2/models/a/infer/"])
def test_a_path_that_only_resembles_it_does_not(path: str) -> None:
    assert text(Door().ask("POST", path)[0]) == "framework"


@pytest.mark.parametrize("error", [ClientGone(), ClientDisconnect()])
def test_nobody_is_answered_where_nobody_is_left(error: Exception) -> None:
    assert Door(error=error).ask("POST", "/predict")[0] == []


@pytest.mark.parametrize(
    ("error", "status"), [(InvalidInput("too few"), 422), (RuntimeError("secret path /home"), 500)]
)
def test_an_error_of_the_endpoint_is_the_answer(error: Exception, status: int) -> None:
    sent, _ = Door(error=error).ask("POST", "/predict")
    assert sent[0]["status"] == status
    assert "secret" not in text(sent)


def test_every_answer_has_the_trace_of_its_request() -> None:
    for door, method in ((Door(), "POST"), (Door(), "GET"), (Door(no=Unauthorized("no key")), "POST")):
        _, headers = door.ask(method, "/predict")
        assert context_of(headers.items()) is not None
        for scope in door.scopes:
            assert scope["state"]["trace"].header == headers[b"traceparent"]


def test_a_path_in_braces_is_a_name_like_any_other() -> None:
    door = Door()
    assert text(door.ask("POST", "/v2/models/{name}/infer")[0]) == "shortcut"
    assert door.scopes[0]["path_params"] == {"name": "{name}"}


def test_head_is_get() -> None:
    door = Door()
    door.ask("HEAD", "/models")
    assert door.scopes[0]["method"] == "GET"
    assert door.scopes[0]["state"]["request_id"] == "abc"


def test_what_is_not_http_passes() -> None:
    door = Door(no=Unauthorized("no key"))
    assert door.ask("GET", "/", kind="lifespan")[0] == []
    assert [scope["type"] for scope in door.scopes] == ["lifespan"]


def test_the_log_of_requests_is_there_where_it_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "app.access"):
        Door().ask("GET", "/models")
        assert not caplog.records
        Door(access_log=True).ask("GET", "/" + "x" * 1000)
    (record,) = caplog.records
    assert record.getMessage() == "GET /" + "x" * 199
    assert (record.request_id, record.status, len(record.trace_id)) == ("abc", 200, 32)  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [None, ClientGone(), ClientDisconnect(), InvalidInput("no"), RuntimeError("bad")])
def test_memory_is_held_until_the_answer_is_written_however_a_request_ends(error: Exception | None) -> None:
    door = Door(error=error)
    door.ask("POST", "/predict")
    assert set(door.held) <= {1000}
    assert door.memory.held == 0


def test_memory_of_a_request_that_is_cancelled_is_released() -> None:
    door = Door(error=asyncio.CancelledError())  # type: ignore[arg-type]
    with pytest.raises(asyncio.CancelledError):
        door.ask("POST", "/predict")
    assert door.memory.held == 0


@pytest.mark.parametrize(("size", "parts"), [(0, 1), (2**18, 1), (2**18 + 1, 2), (10**6, 4)])
def test_a_long_answer_is_sent_in_parts(size: int, parts: int) -> None:
    answer = (b"0123456789" * (size // 10 + 1))[:size]
    sent, headers = Door(answer=answer).ask("POST", "/predict")
    assert b"".join(message["body"] for message in sent[1:]) == answer
    assert headers[b"content-length"] == b"%d" % size
    assert [message.get("more_body", False) for message in sent[1:]] == [True] * (parts - 1) + [False]
