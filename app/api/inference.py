"""The one path of a request to a model, whatever its protocol.

Admit (in the middleware, before the request costs anything), read the body, obtain the model, decode, batch, encode,
hand the answer to the transport. A protocol is a `Call`: it decodes and encodes, and does nothing else. A transport,
HTTP or gRPC, is an `Exchange`.
"""

from abc import ABC, abstractmethod
from asyncio import to_thread
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from sys import getsizeof
from time import perf_counter
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.api.body import LARGE
from app.api.memory import SMALL, Held
from app.api.request_metrics import RequestMetrics
from app.api.services import Services
from app.contract.decisions import Decided
from app.engine.bare_model import BareModel, Servable
from app.engine.job import Arrays
from app.engine.row_shapes import Feeds
from app.errors import InvalidInput
from app.telemetry.tracing import Trace

Answer = TypeVar("Answer")
Result = TypeVar("Result")


class RequestedModel(NamedTuple):
    """The model that a request names; None for the default model or version."""

    name: str | None
    version: int | None


class Rows(NamedTuple):
    """The input of the batcher."""

    inputs: Feeds
    """By name, [B, …] as the contract declares; for a model without one, of any shape."""
    outputs: tuple[str, ...]
    """Outputs of the graph."""
    seconds: float | None = None
    """How long the rows may wait, if the body says so."""


@dataclass
class Encoded:
    """A response before it is compressed."""

    content: bytes
    media_type: str
    headers: dict[str, str] = field(default_factory=dict)
    vary: str = "Accept-Encoding"


class Call(ABC):
    """One request in one protocol. Its methods are called in the order of their definition."""

    @abstractmethod
    def target(self) -> RequestedModel | None:
        """The model, if the path or a header names it; None if only the body does.

        Raises:
            InvalidInput: the name or version is invalid.
        """

    @abstractmethod
    def is_heavy(self, body: bytes, model: Servable | None) -> bool:
        """Whether reading the body would stall the event loop; `model` is None if not yet known."""

    @abstractmethod
    def locate(self, body: bytes) -> RequestedModel:
        """The model that the body names; called only if `target` returned None.

        Raises:
            MalformedBody, InvalidInput: the body is invalid.
        """

    @abstractmethod
    def decode(self, body: bytes, model: Servable) -> Rows:
        """The rows for a model, and the outputs of its graph that the answer needs.

        Raises:
            MalformedBody, InvalidInput: the model does not accept the body, or lacks something that it asks for.
        """

    @abstractmethod
    def size(self, found: Arrays) -> int:
        """Roughly how many bytes of requested outputs must be written."""

    @abstractmethod
    def encode(self, model: Servable, found: Arrays, decided: Decided) -> Encoded:
        """Writes the response.

        Args:
            decided: counts the decisions of the policy in force.

        Raises:
            InvalidInput, OutputNotFinite: an output has no representation in the requested form.
        """


class Exchange(ABC, Generic[Answer]):
    """One request as its transport has it: brings the body in, and the answer out."""

    def __init__(self, services: Services, memory: Held, trace: Trace) -> None:
        self.services = services
        self.memory = memory
        self.trace = trace

    gone: Callable[[], Awaitable[object]] | None = None
    """Completes when the client disconnects; None if the transport cancels instead."""

    @abstractmethod
    def seconds(self) -> float | None:
        """How long the client lets its rows wait; None for as long as any.

        Raises:
            InvalidInput: it says that in a wrong way.
        """

    @abstractmethod
    async def read(self) -> bytes:
        """The whole body, which counts against `memory` from here on.

        Raises:
            ServiceError: the body is too large, too slow, or no memory is left for it.
            ClientGone, ClientDisconnect: the client disconnected before the end.
        """

    @contextmanager
    def cancellation(self) -> Iterator[None]:
        """Turns a cancellation that the transport makes into the error that it stands for."""
        yield

    @abstractmethod
    async def finish(self, encoded: Encoded) -> Answer:
        """The answer as the transport sends it."""


async def answer(exchange: Exchange[Answer], call: Call) -> Answer:
    """Answers a request: the whole path from body to response.

    Raises:
        ServiceError: the client gets this error instead.
        ClientGone, ClientDisconnect: nobody is left to answer.
    """
    of, memory, trace = exchange.services, exchange.memory, exchange.trace
    with RequestMetrics(of.telemetry, trace) as metrics, exchange.cancellation():
        seconds = of.settings.queue_timeout_ms / 1000
        if (given := exchange.seconds()) is not None:
            seconds = min(seconds, given)
        model: Servable | None = None
        target = call.target()
        if target is not None:  # before the body: an unknown model costs no upload
            trace.step("obtain")
            model, seconds = await of.registry.obtain(*target, seconds)
            metrics.found(model)
        trace.step("read")
        body = await exchange.read()
        trace.step("decode")
        heavy = call.is_heavy(body, model)
        if model is None:
            target = await run(heavy, call.locate, body)
            trace.step("obtain")
            model, seconds = await of.registry.obtain(*target, seconds)
            metrics.found(model)
            trace.step("decode")
            heavy = call.is_heavy(body, model)
        rows, size = await run(heavy, _decode, call, body, model)
        del body  # it may be megabytes, and the rows may wait for seconds
        memory.resize(size + _answer_size(model, rows, memory.most))
        if rows.seconds is not None:
            seconds = min(seconds, rows.seconds)
        metrics.read = perf_counter()
        found = await of.batcher.predict(model, rows.inputs, rows.outputs, seconds, exchange.gone, trace)
        metrics.ran = perf_counter()
        trace.step("encode")
        del rows
        size = call.size(found)
        memory.resize(size)
        encoded = await run(size > LARGE, call.encode, model, found, metrics.decided)
        del found
        return await exchange.finish(encoded)


async def run(heavy: bool, work: Callable[..., Result], *arguments: Any) -> Result:
    """Runs heavy work in a thread, so that it does not hold up others; for light work a switch costs more."""
    return await to_thread(work, *arguments) if heavy else work(*arguments)


def _decode(call: Call, body: bytes, model: Servable) -> tuple[Rows, int]:
    """Decodes a body; also returns how many bytes the rows hold while they wait."""
    rows = call.decode(body, model)
    inputs = list(rows.inputs.values())
    if len(body) <= SMALL and model.contract is not None:  # to look closer would take longer than it is worth
        return rows, max(len(body), sum([values.nbytes for values in inputs]))
    size = sum(_bytes_of(values) for values in inputs)
    # rows that were sent as bytes may be views of the body, which then lives as long as they
    if size < len(body) and any(np.may_share_memory(values, np.frombuffer(body, np.uint8)) for values in inputs):
        size = len(body)
    return rows, size


def _answer_size(model: Servable, rows: Rows, most: int) -> int:
    """How many bytes the outputs will have: a few compressed bytes can ask for gigabytes of maps.

    Raises:
        InvalidInput: more than requests may ever hold.
    """
    if isinstance(model, BareModel):  # nothing says what its graph gives
        return 0
    size = model.answer_bytes(rows.inputs, rows.outputs)
    if size > most:
        raise InvalidInput(
            f"these outputs take {size} bytes, and requests may hold {most} (MASKSEMBLES_MEMORY_BUDGET_MB): ask for "
            "fewer outputs, or send fewer or smaller rows",
            "outputs",
        )
    return size


def _bytes_of(values: NDArray[Any]) -> int:
    texts = sum(map(getsizeof, values.flat)) if values.dtype.kind == "O" else 0  # the array only points to them
    return values.nbytes + texts
