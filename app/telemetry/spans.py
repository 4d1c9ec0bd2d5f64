"""Spans of requests, recorded and sent by OpenTelemetry's own SDK. Only `app.telemetry.tracing` imports this module,
and only where spans are wanted.

A request notes when its steps begin; they become spans at its end, so that nothing of that delays its answer.
"""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)

from app import __version__
from app.telemetry.trace_context import STATE, TraceContext, context_of, span_in
from app.telemetry.tracing import Trace, Tracing

_NAME = "masksembles"
_SECONDS_TO_SEND = 2.0  # at the end; a collector that does not answer by then loses what it has not got
_LONGEST_PATH = 200  # characters: thousands of spans may wait, and a path may have 64 KiB


class _Step(NamedTuple):
    name: str
    began: float
    ended: float
    code: str | None = None
    attributes: Mapping[str, int] | None = None


class RecordedTrace(Trace):
    """A request's span, and its steps as the children of it."""

    __slots__ = ("_began", "_code", "_name", "_since", "_span", "_steps", "_taken", "_tracer", "_wall")

    def __init__(self, tracer: Tracer, span: Span, header: bytes, began: tuple[float, int]) -> None:
        super().__init__(header)
        self._tracer = tracer
        self._span = span
        self._began, self._wall = began
        self._since = self._began
        self._name: str | None = "admit"
        self._taken: float | None = None
        self._code: str | None = None
        self._steps: list[_Step] = []

    def step(self, name: str) -> None:
        """A step of the request's way begins, which ends the one before."""
        now = time.perf_counter()
        self._close(now)
        self._name, self._since = name, now

    def found(self, model: str, version: int) -> None:
        """The request is one for this model."""
        self._span.set_attributes({"masksembles.model": model, "masksembles.version": version})

    def queued(self, rows: int) -> None:
        """Its rows wait for a device from now on."""
        self._span.set_attribute("masksembles.rows", rows)
        self.step("queue")

    def taken(self, at: float) -> None:
        """A device has taken rows of it."""
        if self._taken is None:
            self._taken = at

    def ran(self, began: float, seconds: float, rows: int, batch_rows: int, code: str | None) -> None:
        """A batch has run, or was lost before a device took it."""
        if self._taken is None:
            return
        if self._name == "queue":  # the first part of it: the queue's end and the run are known exactly now
            self._steps.append(_Step("queue", self._since, began))
            self._name = None
        attributes = {"masksembles.rows": rows, "masksembles.batch_rows": batch_rows}
        self._steps.append(_Step("run", began, began + seconds, code, attributes))

    def failed(self, code: str) -> None:
        """The request has failed in the present step."""
        self._code = code
        self._close(time.perf_counter(), code)

    def end(self, status: int) -> None:
        """Hands the spans over to the SDK."""
        now = time.perf_counter()
        if not status and self._code is None:
            self.failed("cancelled")
        self._close(now)
        inside = set_span_in_context(self._span, Context())
        for step in self._steps:
            child = self._tracer.start_span(
                step.name, inside, attributes=step.attributes, start_time=self._nanoseconds(step.began)
            )
            if step.code is not None:
                _fail(child, step.code)
            child.end(self._nanoseconds(step.ended))
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if self._code is not None and not 400 <= status < 500:  # OpenTelemetry: to a server, those are no errors
            _fail(self._span, self._code)
        self._span.end(self._nanoseconds(now))

    def _close(self, at: float, code: str | None = None) -> None:
        """Ends the present step."""
        if self._name is None:
            return
        if self._name == "queue" and self._taken is not None:  # it ends while a device is at it
            self._steps.append(_Step("queue", self._since, self._taken))
            self._name, self._since = "run", self._taken
        self._steps.append(_Step(self._name, self._since, at, code))
        self._name = None

    def _nanoseconds(self, at: float) -> int:
        return self._wall + int((at - self._began) * 1e9)


class Recorder(Tracing):
    """Records requests whose route is known and that the sampler wants; the traces of others go on unrecorded."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer(_NAME, __version__)

    def begin(self, scope: Mapping[str, Any], route: str | None) -> Trace:
        """The trace of a request that has just come."""
        began = time.perf_counter(), time.time_ns()  # one moment
        parent = context_of(scope["headers"])
        if route is None:
            return Trace(span_in(parent))
        attributes = {
            "http.request.method": scope["method"],
            "http.route": route,
            "url.path": scope["path"][:_LONGEST_PATH],
            "url.scheme": scope["scheme"],
            "network.protocol.version": scope["http_version"],
        }
        name = f"{scope['method']} {route}"
        around = Context() if parent is None else _remote(parent, scope["headers"])
        span = self._tracer.start_span(name, around, SpanKind.SERVER, attributes, start_time=began[1])
        own = span.get_span_context()
        header = b"00-%032x-%016x-%02x" % (own.trace_id, own.span_id, own.trace_flags.sampled)
        return RecordedTrace(self._tracer, span, header, began) if span.is_recording() else Trace(header)

    def close(self) -> None:
        """Sends what is recorded, or gives up after a moment: the SDK itself would wait for half a minute."""
        sender = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        sender.start()
        sender.join(_SECONDS_TO_SEND)


def open_recorder() -> Recorder:
    """Records as the environment variables of OpenTelemetry's SDK say.

    Raises:
        ValueError: one of them is invalid, and the SDK does not go on with its default.
    """
    resource = Resource.create({SERVICE_VERSION: __version__})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: _NAME}))
    logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)  # it logs what clients send as tracestate
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Recorder(provider)


def _remote(parent: TraceContext, headers: list[tuple[bytes, bytes]]) -> Context:
    state = [value.decode("latin-1") for name, value in headers if name == STATE]
    context = SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(parent.sampled),
        trace_state=TraceState.from_header(state),
    )
    return set_span_in_context(NonRecordingSpan(context), Context())


def _fail(span: Span, code: str) -> None:
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR))
