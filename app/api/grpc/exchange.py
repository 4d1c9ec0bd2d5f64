"""A request to infer over gRPC: its message, its deadline, and what a cancellation means."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.protobuf.message import DecodeError
from grpc.aio import EOF

from app.api.body import MOST_SECONDS
from app.api.grpc.rpc import Rpc
from app.api.inference import Encoded, Exchange
from app.api.memory import SMALL
from app.errors import DeadlineExceeded, InvalidInput, MalformedBody, RequestTimeout
from app.failures import ClientGone

_AHEAD_SECONDS = 0.1  # a client whose deadline has passed cancels, perhaps a moment before we see it pass
_CANCELLED_SECONDS = 0.1  # without a message: gRPC may have refused it, and cancels in a moment
_PROMPT_SECONDS = 0.1  # a message that is not there by then is large, or slow
_LONGEST_MESSAGE = 2**16  # bytes of a request without tensors


class RpcExchange(Exchange[bytes]):
    """One request, admitted."""

    def __init__(self, rpc: Rpc) -> None:
        super().__init__(rpc.services, rpc.memory, rpc.trace)
        self._context = rpc.context

    def seconds(self) -> float | None:
        """What is left until the deadline; None if there is none."""
        left: float | None = self._context.time_remaining()
        return left

    async def read(self) -> bytes:
        """The message."""
        body = await self.next()
        if body is None:
            await asyncio.sleep(_CANCELLED_SECONDS)
            raise MalformedBody("expected a message")
        return body

    async def next(self) -> bytes | None:
        """The next message; None if there is none.

        Nothing tells its length before it is there, so a late one counts as the largest.
        """
        limit = self.services.settings.max_body_bytes
        self.memory.resize(min(SMALL, limit))
        reading = asyncio.ensure_future(self._context.read())
        try:
            done, _ = await asyncio.wait({reading}, timeout=_PROMPT_SECONDS)
            if not done:
                self.memory.resize(limit)
            async with asyncio.timeout(MOST_SECONDS):
                message = await reading
        except TimeoutError:
            raise RequestTimeout(f"the message did not come within {MOST_SECONDS} seconds") from None
        finally:
            reading.cancel()
        if message is EOF:
            return None
        body: bytes = message
        self.memory.resize(len(body))
        return body

    @contextmanager
    def cancellation(self) -> Iterator[None]:
        """gRPC cancels when the deadline has passed, the message is too large, or the client is gone; the service,
        when its time is over.
        """
        try:
            yield
        except asyncio.CancelledError:
            left = self.seconds()
            if left is not None and left <= _AHEAD_SECONDS:
                raise DeadlineExceeded("the deadline of the call passed before all rows were computed") from None
            if self.services.stopping:
                raise
            raise ClientGone from None

    async def finish(self, encoded: Encoded) -> bytes:
        """The message."""
        self.memory.resize(len(encoded.content))
        return encoded.content


async def read_message(rpc: Rpc, kind: Any) -> Any:
    """The message of a call without tensors.

    Args:
        kind: its class.

    Raises:
        MalformedBody, InvalidInput: it is no such message, or too long.
    """
    exchange = RpcExchange(rpc)
    with exchange.cancellation():
        return parse(kind, await exchange.read())


def parse(kind: Any, body: bytes) -> Any:
    """A message without tensors.

    Raises:
        MalformedBody, InvalidInput: it is no such message, or too long.
    """
    if len(body) > _LONGEST_MESSAGE:
        raise InvalidInput(f"expected at most {_LONGEST_MESSAGE} bytes")
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise MalformedBody(f"the message is not a {kind.DESCRIPTOR.name}: {error}") from None
