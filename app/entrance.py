"""Lets requests in while more come than the queue has room for: as many as have room, and the others are refused here.

A refusal by the application takes a task, a dozen calls and two messages. There are thousands a second, and the device
needs the processor.
"""

import asyncio
from collections import deque
from typing import Protocol, cast

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.api.middleware import Gateway
from app.api.refusal import Refusal
from app.errors import ServiceError

_AT_ONCE = 64  # refused in a pass of the event loop: some 3 ms, in which no answer goes out


class Guest(Protocol):
    """The connection of a request that waits to be let in."""

    def begin(self, cycle: RequestResponseCycle) -> None:
        """Hands the request to the application."""

    def turn_away(self, cycle: RequestResponseCycle, refusal: Refusal, request_id: bytes, trace: bytes) -> None:
        """Answers it."""


class Entrance:
    """The way to the application.

    Who comes while the queue is full waits, for a pass of the event loop or a few, and is refused unless there is room
    by then. Nobody overtakes.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._batcher = gateway.services.batcher
        self._waiting: deque[tuple[Guest, RequestResponseCycle, str]] = deque()
        self._will_look = False

    def enter(self, guest: Guest, cycle: RequestResponseCycle) -> None:
        """Hands a request to the application, now or when its turn has come, or refuses it."""
        scope = cast(Scope, cycle.scope)  # the same to uvicorn and Starlette, which have a type of their own each
        if (self._batcher.room and not self._waiting) or (route := self._gateway.refusable(scope)) is None:
            guest.begin(cycle)
            return
        self._waiting.append((guest, cycle, route))
        self._look_later()

    def _look_later(self) -> None:
        if not self._will_look:
            self._will_look = True
            asyncio.get_running_loop().call_soon(self._look)  # behind those that have just begun: their rows count then

    def _look(self) -> None:
        try:
            if self._gateway.services.stopping:  # the last answers say that the connection ends
                self._let_in(len(self._waiting))
            elif (full := self._batcher.refusal()) is None:
                self._let_in(self._batcher.room)
            else:
                self._refuse(full)
        finally:
            self._will_look = False  # not before: a refusal may bring the next request of its connection
            if self._waiting:
                self._look_later()

    def _let_in(self, most: int) -> None:
        for _ in range(min(most, len(self._waiting))):
            guest, cycle, _route = self._waiting.popleft()
            guest.begin(cycle)

    def _refuse(self, full: ServiceError) -> None:
        rendered: dict[str, Refusal] = {}
        for _ in range(min(_AT_ONCE, len(self._waiting))):
            guest, cycle, route = self._waiting.popleft()
            error, request_id, trace = self._gateway.turn_away(cast(Scope, cycle.scope), route, full)
            refusal = rendered.get(route) if error is full else None
            if refusal is None:
                refusal = Refusal(cycle.scope["path"], error)
                if error is full:
                    rendered[route] = refusal
            guest.turn_away(cycle, refusal, request_id, trace)
