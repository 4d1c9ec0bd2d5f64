"""What the server does on signals and how it listens, without a process; tests/e2e sends real ones."""

import asyncio
import faulthandler
import os
import signal
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn

from app import server as module
from app.api.middleware import Gateway
from app.connections import Connections
from app.engine.watchdog import Watchdog
from app.server import Server
from app.telemetry.metrics import Telemetry


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(uvicorn.Server, "on_tick", lambda self, counter: asyncio.sleep(0, self.should_exit))
    batcher = SimpleNamespace(watchdog=Watchdog(1, Telemetry()))
    app = SimpleNamespace(services=SimpleNamespace(stopping=False, batcher=batcher))
    return Server(cast(Gateway, app), "127.0.0.1", 0, grace=7, connections=Connections(64, 10))


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock."""

    def set_clock(now: float) -> None:
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))

    set_clock(0.0)
    return set_clock


def stops(server: Server) -> bool:
    """Whether the next look ends the accepting of connections."""
    return asyncio.run(server.on_tick(1))


def test_without_a_signal_it_goes_on(made: Server) -> None:
    assert not stops(made)
    assert not made.force_exit
    assert made.config.timeout_graceful_shutdown == 7


@pytest.mark.parametrize(
    ("first", "second", "forced"),
    [
        (signal.SIGTERM, signal.SIGTERM, False),
        (signal.SIGINT, signal.SIGTERM, False),
        (signal.SIGTERM, signal.SIGINT, True),
        (signal.SIGINT, signal.SIGINT, True),
    ],
)
def test_a_second_interrupt_ends_at_once_and_a_second_termination_waits_for_answers(
    made: Server, first: signal.Signals, second: signal.Signals, forced: bool
) -> None:
    made.handle_exit(first, None)
    assert not made.should_exit
    made.handle_exit(second, None)
    assert (made.should_exit, made.force_exit) == (True, forced)


def test_from_the_signal_on_it_is_not_ready_and_says_close(made: Server) -> None:
    made.handle_exit(signal.SIGTERM, None)
    assert cast(Any, made)._app.services.stopping
    assert (b"connection", b"close") in made.server_state.default_headers
    assert (b"connection", b"close") in made.config.encoded_headers


def test_the_watchdog_is_told_of_a_signal_and_the_handler_runs(made: Server) -> None:
    watchdog = cast(Any, made)._app.services.batcher.watchdog
    before = signal.getsignal(signal.SIGTERM)
    with made.capture_signals():
        assert not watchdog._told()
        signal.raise_signal(signal.SIGTERM)
        assert made._signalled is not None
        made._signalled = None  # as if the handler had not run yet, because the main thread hangs
        assert watchdog._told()
        assert not watchdog._told()
    assert watchdog._seconds_to_end == pytest.approx(1 + 0.2 + 7 + 8)
    assert signal.getsignal(signal.SIGTERM) is before


def test_it_serves_where_there_are_no_such_signals(made: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for holder, name in ((faulthandler, "register"), (faulthandler, "unregister"), (os, "set_blocking")):
        monkeypatch.delattr(holder, name)  # as in Python 3.11 on Windows
    with made.capture_signals():
        told = cast(Any, made)._app.services.batcher.watchdog._told
        assert not told()
        made.handle_exit(signal.SIGTERM, None)
        assert told()


def test_it_accepts_until_a_second_has_passed_or_nobody_is_connected(made: Server, at: Callable[[float], None]) -> None:
    made.server_state.connections.add(cast(Any, object()))
    made.handle_exit(signal.SIGTERM, None)
    at(0.9)
    assert not stops(made)
    at(1.0)
    assert stops(made)


def test_with_the_last_connection_it_stops_at_once(made: Server, at: Callable[[float], None]) -> None:
    made.handle_exit(signal.SIGTERM, None)
    assert stops(made)


def test_it_listens_on_several_handles_of_one_socket(made: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[socket.socket] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: given.extend(sockets))
    made.run()
    try:
        assert len(given) > 1
        assert len({one.getsockname() for one in given}) == 1
        assert len({one.fileno() for one in given}) == len(given)
    finally:
        for one in given:
            one.close()


def test_handles_never_block_not_even_while_they_are_made(made: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waits in `accept` beside this one, on the same socket, would wait for ever."""
    given: list[socket.socket] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: given.extend(sockets))
    blocking: list[bool] = []
    settimeout = socket.socket.settimeout
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        os.set_blocking(door.fileno(), False)  # as another process has left it, of which this object does not know
        assert door.gettimeout() is None

        def watched(self: socket.socket, seconds: float | None) -> None:
            settimeout(self, seconds)
            blocking.append(os.get_blocking(self.fileno()))

        monkeypatch.setattr(socket.socket, "settimeout", watched)
        made.run([door])
        for one in given[1:]:
            one.close()
    assert len(blocking) == len(given) - 1
    assert not any(blocking)
