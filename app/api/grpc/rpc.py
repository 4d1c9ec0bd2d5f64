"""The entry of every RPC, as the gateway is that of every request over HTTP: id, trace, key, memory, errors."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from grpc.aio import ServicerContext

from app.api import request_ids
from app.api.error_handlers import shown_as
from app.api.memory import Held
from app.api.request_metrics import code_of
from app.api.services import Services
from app.auth.guard import Guard, needed
from app.engine.batcher import STOPPING
from app.errors import ConnectionsFull, NotReady, ServiceError
from app.failures import ClientGone
from app.telemetry import trace_context
from app.telemetry.tracing import Trace

_log = logging.getLogger("app.access")
_HERE = (b"host", b"localhost")  # the guard asks for it because of browsers, which do not speak gRPC
_LONGEST_MESSAGE = 1500  # characters of an error: it travels percent-encoded, and clients take 8 KiB of metadata
_OK = 200
_MOST_OPEN = 64  # calls at work at once that need no key; as many watch the health
KEYLESS = 2 * _MOST_OPEN
"""Calls at work at once that need no key. They have places of their own, or anybody could take those of all others."""

Headers = list[tuple[bytes, bytes]]
Context: TypeAlias = ServicerContext


@dataclass(frozen=True)
class Rpc:
    """An RPC that was admitted. Its message is not read yet."""

    services: Services
    context: Context
    memory: Held
    trace: Trace


Serve = Callable[[Rpc], Awaitable[bytes | None]]
"""Returns the answer; None if it has written all by itself."""


class Places:
    """How many calls of one kind may be at work at once."""

    def __init__(self, most: int = _MOST_OPEN) -> None:
        self._most = most
        self._taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place for a call.

        Raises:
            ConnectionsFull: all are taken.
        """
        if self._taken >= self._most:
            raise ConnectionsFull(f"{self._most} calls of this kind, which needs no key, are at work", 1)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class Reception:
    """Lets RPCs in and sends answers and errors out.

    Args:
        guard: decides who is let in.
    """

    def __init__(self, services: Services, guard: Guard) -> None:
        self._services = services
        self._guard = guard
        self.closed = False
        """Whether to refuse every call from now on."""
        self._open = Places()

    def handler(
        self, name: str, path: str, serve: Serve, *, recorded: bool = False, places: Places | None = None
    ) -> grpc.RpcMethodHandler:
        """What gRPC calls for an RPC.

        Args:
            name: its whole name, as in `/inference.GRPCInferenceService/ModelInfer`.
            path: the path over HTTP that does the same; the guard knows what scope it needs.
            recorded: whether it is a request that spans are recorded of, and that a full queue refuses.
            places: bounds how many are at work; by default all that need no key share some.
        """
        if places is None and needed(path) is None:
            places = self._open

        async def bounded(rpc: Rpc) -> bytes | None:
            with nullcontext() if places is None else places.one():
                return await serve(rpc)

        async def handle(_: object, context: Context) -> None:
            await self._handle(name, path if recorded else None, path, bounded, context)

        # a stream to gRPC's library, though not to the client: only then may a request be refused before it is read,
        # and memory be held until the answer is on its way
        return grpc.stream_stream_rpc_method_handler(handle)

    async def _handle(self, name: str, route: str | None, path: str, serve: Serve, context: Context) -> None:
        began = time.perf_counter()
        headers = _headers(context)
        request_id = request_ids.id_of(headers)
        trace = self._services.tracing.begin(_scope(name, headers), None if route is None else name)
        context.set_trailing_metadata(_metadata(request_id, trace))
        status = 0
        try:
            with self._services.memory.hold() as memory:
                self._admit(path, headers, is_infer=route is not None)
                answer = await serve(Rpc(self._services, context, memory, trace))
                trace.step("send")
                if answer is not None:
                    await context.write(answer)
                status = _OK
        except ClientGone as error:
            trace.failed(code_of(error))
        except Exception as error:
            trace.failed(code_of(error))
            shown = shown_as(error, {"request_id": request_id.decode(), "trace_id": trace.trace_id})
            status = shown.status
            await _refuse(context, shown, _metadata(request_id, trace))
        finally:
            trace.end(status)
            if self._services.settings.access_log:
                extra = {
                    "request_id": request_id.decode(),
                    "trace_id": trace.trace_id,
                    "status": status,
                    "seconds": time.perf_counter() - began,
                }
                _log.info("gRPC %s", name, extra=extra)

    def _admit(self, path: str, headers: Headers, *, is_infer: bool) -> None:
        try:
            if self.closed:
                raise NotReady(STOPPING)
            self._guard.admit(path, [*headers, _HERE])
            if is_infer and (refusal := self._services.batcher.refusal()) is not None:
                raise refusal
        except ServiceError as error:
            self._services.telemetry.rejected(error.code)
            raise


async def _refuse(context: Context, error: ServiceError, metadata: tuple[tuple[str, str], ...]) -> None:
    """Ends an RPC with an error; its code goes beside the message, since a status of gRPC stands for several."""
    if context.done():  # gRPC has answered by itself, or the client is gone
        return
    extra = [("error-code", error.code)]
    if error.retry_after is not None:
        extra += [("retry-after", str(error.retry_after)), ("grpc-retry-pushback-ms", str(1000 * error.retry_after))]
    message = f"{error.field}: {error.message}" if error.field else error.message
    code = grpc.StatusCode[error.grpc_status]
    context.set_trailing_metadata((*metadata, *extra))
    context.set_code(code)
    context.set_details(message[:_LONGEST_MESSAGE])


def _headers(context: Context) -> Headers:
    """The metadata of a call as headers of HTTP."""
    return [
        (key.encode(), value if isinstance(value, bytes) else value.encode())
        for key, value in context.invocation_metadata() or ()
    ]


def _metadata(request_id: bytes, trace: Trace) -> tuple[tuple[str, str], ...]:
    return (
        (request_ids.HEADER.decode(), request_id.decode()),
        (trace_context.HEADER.decode(), trace.header.decode()),
    )


def _scope(name: str, headers: Headers) -> dict[str, Any]:
    """What a trace wants to know of a request, as ASGI has it."""
    return {"method": "POST", "path": name, "headers": headers, "scheme": "http", "http_version": "2"}
