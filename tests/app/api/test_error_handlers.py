"""What becomes of an error: the answer that a client gets, and what is for the log alone."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope, Send

from app.api.error_handlers import Unforeseen, answer_to, extra_headers, install, problem
from app.errors import InvalidInput, ModelFailed, QueueFull, ServiceError, Unauthorized
from app.failures import ClientGone
from app.telemetry.tracing import UNTRACED
from tests.serving import in_thread


def request(path: str = "/predict") -> Request:
    return Request({"type": "http", "path": path, "headers": [], "state": {"request_id": "abc", "trace": UNTRACED}})


def test_what_nobody_foresaw_is_for_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    response = answer_to(request(), RuntimeError("secret path /home"))
    assert response.status_code == 500
    assert json.loads(bytes(response.body))["error"] == {
        "code": "internal_error", "message": ServiceError.example, "request_id": "abc",
    }  # fmt: skip
    (record,) = caplog.records
    assert "secret path" in str(record.exc_info)
    assert (record.request_id, record.trace_id) == ("abc", UNTRACED.trace_id)  # type: ignore[attr-defined]


def test_only_what_a_client_cannot_help_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    answer_to(request(), InvalidInput("too few", "inputs"))
    assert not caplog.records
    answer_to(request(), ModelFailed("digits:1 failed"))
    (record,) = caplog.records
    assert (record.levelno, record.getMessage(), record.code) == (logging.ERROR, "digits:1 failed", "model_failed")  # type: ignore[attr-defined]


def test_the_body_is_that_of_the_path() -> None:
    error = InvalidInput("too few", "inputs")
    status, body = problem("/predict", error, "abc")
    assert (status, json.loads(body)["error"]["field"]) == (422, "inputs")
    status, body = problem("/v2/models/a/infer", error, "abc")
    assert (status, json.loads(body)) == (400, {"error": "inputs: too few"})


def test_when_to_try_again_and_how_to_identify_oneself_are_headers() -> None:
    full = QueueFull("full", retry_after=3)
    assert extra_headers(full) == [(b"retry-after", b"3")]
    assert answer_to(request(), full).headers["retry-after"] == "3"
    assert extra_headers(Unauthorized("no key")) == [(b"www-authenticate", b"Bearer")]
    assert extra_headers(InvalidInput("too few")) == []


async def _nothing_comes() -> Message:
    return {"type": "http.disconnect"}


def behind(error: Exception, *, started: bool = False, kind: str = "http") -> list[Any]:
    """What is sent where the application raises, before its answer has begun or after that."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if started:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    sent: list[Any] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": kind, "path": "/predict", "headers": [], "state": {"request_id": "abc", "trace": UNTRACED}}
    asyncio.run(Unforeseen(application)(scope, _nothing_comes, send))
    return sent


def test_an_answer_that_has_begun_or_is_none_of_http_cannot_be_replaced() -> None:
    for case in ({"started": True}, {"kind": "lifespan"}):
        with pytest.raises(RuntimeError, match="no"):
            behind(RuntimeError("no"), **case)


@pytest.mark.parametrize("error", [ClientGone(), ClientDisconnect()])
def test_nobody_is_answered_where_nobody_is_left(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    assert behind(error) == []
    assert not caplog.records


def test_an_answer_that_has_not_begun_is_the_error() -> None:
    start, body = behind(RuntimeError("no"))
    assert start["status"] == 500
    assert b"internal_error" in body["body"]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    app = FastAPI()
    install(app)

    @app.middleware("http")
    async def identified(request: Request, answer: Any) -> Any:
        request.state.request_id, request.state.trace = "abc", UNTRACED
        return await answer(request)

    @app.get("/teapot")
    def teapot() -> None:
        raise HTTPException(418, headers={"x-tea": "green"})

    @app.get("/number/{number}")
    def number(number: int) -> None:
        raise InvalidInput("too few", "inputs")

    with in_thread(app) as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "field"),
    [
        ("GET", "/nowhere", 404, "not_found", None),
        ("POST", "/teapot", 405, "method_not_allowed", None),
        ("GET", "/teapot", 500, "internal_error", None),  # nobody here raises such a one
        ("GET", "/number/one", 422, "invalid_input", "number"),
        ("GET", "/number/1", 422, "invalid_input", "inputs"),
    ],
)
def test_errors_of_the_framework_have_our_body(
    client: httpx.Client, method: str, path: str, status: int, code: str, field: str | None
) -> None:
    response = client.request(method, path)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error.get("field")) == (status, code, field)
    assert error["request_id"] == "abc"


def test_their_headers_stay(client: httpx.Client) -> None:
    assert client.post("/teapot").headers["allow"] == "GET"
    assert client.get("/teapot").headers["x-tea"] == "green"
