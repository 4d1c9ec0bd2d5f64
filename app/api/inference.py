"""The one way of a request to a model, whatever protocol it speaks.

Admit (the middleware, before anything is spent), read the body, obtain the model, decode, batch, encode, answer
compressed as the client accepts. A protocol is a `Call`: what it decodes and what it encodes, and nothing else.
"""

from abc import ABC, abstractmethod
from asyncio import to_thread
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from fastapi import Request, Response

from app.api.body import LARGE, accepted_encoding, compress, read_body
from app.api.request_metrics import RequestMetrics
from app.api.services import services
from app.contract.decisions import Action
from app.engine.bare_model import Servable
from app.engine.job import Arrays
from app.errors import InvalidInput

_WORTH_COMPRESSING = 4096  # bytes; less fits the first packets of an answer, and takes longer to pack than it saves
_LONGEST_TIMEOUT = 9  # digits

Result = TypeVar("Result")


class Target(NamedTuple):
    """The model that a request is for; None for the default, or for the version that answers."""

    name: str | None
    version: int | None


class Rows(NamedTuple):
    """What goes to the batcher."""

    inputs: Any
    """[B, …] as the contract says; of a model without one, a list of one dictionary of arrays."""
    outputs: tuple[str, ...]
    """Of the graph."""
    seconds: float | None = None
    """How long the rows may wait, where the body says so, too."""


@dataclass
class Encoded:
    """An answer before it is compressed."""

    content: bytes
    media_type: str
    headers: dict[str, str] = field(default_factory=dict)
    vary: str = "Accept-Encoding"


class Call(ABC):
    """One request in one protocol. Its methods are called in the order in which they stand here."""

    @abstractmethod
    def target(self) -> Target | None:
        """The model, where something before the body names it.

        Raises:
            InvalidInput: that is no name or no version.
        """

    @abstractmethod
    def is_heavy(self, body: bytes, model: Servable | None) -> bool:
        """Whether to read so much would stall the event loop; the model where it is known by now."""

    @abstractmethod
    def locate(self, body: bytes) -> Target:
        """The model that the body names; not called where something before it did.

        Raises:
            MalformedBody, InvalidInput: the body is not what it should be.
        """

    @abstractmethod
    def decode(self, body: bytes, model: Servable) -> Rows:
        """The rows for a model, and which outputs of its graph are needed for the answer.

        Raises:
            MalformedBody, InvalidInput: the body is not what the model takes, or asks for what it has not.
        """

    @abstractmethod
    def size(self, found: Arrays) -> int:
        """How many bytes of outputs there are to be written, roughly: those that were asked for."""

    @abstractmethod
    def encode(self, model: Servable, found: Arrays, decided: Counter[Action]) -> Encoded:
        """The answer.

        Args:
            decided: counts what the policy in force says of the rows.

        Raises:
            InvalidInput, OutputNotFinite: an output cannot be had in the form that was asked for.
        """


async def answer(request: Request, call: Call, headers: Mapping[bytes, bytes]) -> Response:
    """Takes a request the whole way.

    Raises:
        ServiceError: what is told to the client instead.
        ClientGone, ClientDisconnect: nobody is left to be told.
    """
    of = services(request)
    with RequestMetrics(of.telemetry) as metrics:
        seconds = _seconds_to_wait(headers, of.settings.queue_timeout_ms)
        model: Servable | None = None
        target = call.target()
        if target is not None:
            model, seconds = await of.registry.obtain(*target, seconds)
            metrics.found(model)
        body = await read_body(request.receive, headers, of.settings.max_body_bytes)
        heavy = call.is_heavy(body, model)
        if model is None:
            target = await _run(heavy, call.locate, body)
            model, seconds = await of.registry.obtain(*target, seconds)
            metrics.found(model)
        rows = await _run(heavy, call.decode, body, model)
        del body
        if rows.seconds is not None:
            seconds = min(seconds, rows.seconds)
        metrics.read = perf_counter()
        found = await of.batcher.predict(model, rows.inputs, rows.outputs, seconds, request.receive)
        metrics.ran = perf_counter()
        encoded = await _run(call.size(found) > LARGE, call.encode, model, found, metrics.decided)
        return await _respond(encoded, headers.get(b"accept-encoding", b""))


async def _run(heavy: bool, work: Callable[..., Result], *arguments: Any) -> Result:
    """Beside the event loop where it would hold others up; changing threads costs more than what is light."""
    return await to_thread(work, *arguments) if heavy else work(*arguments)


async def _respond(encoded: Encoded, accepts: bytes) -> Response:
    content, headers = encoded.content, {"Vary": encoded.vary, **encoded.headers}
    if accepts and len(content) >= _WORTH_COMPRESSING and (encoding := accepted_encoding(accepts)) is not None:
        content = await _run(len(content) > LARGE, compress, content, encoding)
        headers["Content-Encoding"] = encoding.decode()
    return Response(content, media_type=encoded.media_type, headers=headers)


def _seconds_to_wait(headers: Mapping[bytes, bytes], most: int) -> float:
    """How long a request's rows may wait: what its header says, or `most` milliseconds."""
    given = headers.get(b"x-request-timeout-ms")
    if given is None:
        return most / 1000
    if not given.isdigit() or len(given) > _LONGEST_TIMEOUT or int(given) == 0:
        raise InvalidInput("expected a whole number of milliseconds, 1 or more", "X-Request-Timeout-Ms")
    return min(int(given), most) / 1000
