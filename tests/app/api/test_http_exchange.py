from types import SimpleNamespace
from typing import cast

import pytest
from fastapi import Request

from app.api.http_exchange import HttpExchange
from app.api.services import Services
from app.errors import InvalidInput


def exchange(**headers: str) -> HttpExchange:
    app = SimpleNamespace(state=SimpleNamespace(services=cast(Services, None)))
    scope = {"type": "http", "app": app, "state": {"memory": None, "trace": None}}
    return HttpExchange(
        Request(scope), {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    )


def test_a_request_may_say_how_long_it_waits() -> None:
    assert exchange().seconds() is None
    assert exchange(x_request_timeout_ms="250").seconds() == 0.25


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", "", "9" * 10])
def test_how_long_is_a_number_of_milliseconds(text: str) -> None:
    with pytest.raises(InvalidInput, match="whole number of milliseconds") as raised:
        exchange(x_request_timeout_ms=text).seconds()
    assert raised.value.field == "X-Request-Timeout-Ms"
