"""Traces: every request belongs to one. Its spans are recorded where the environment names a collector, and only there
is OpenTelemetry imported.
"""

import os
from collections.abc import Mapping
from typing import Any

from app.failures import StartError
from app.telemetry.trace_context import context_of, span_in, trace_id_of

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


class Trace:
    """A request's place in its trace, which is told what becomes of the request; by itself it records nothing.

    Times are those of `time.perf_counter`. A device's thread calls `taken`, the event loop everything else.
    """

    __slots__ = ("header",)

    def __init__(self, header: bytes) -> None:
        self.header = header
        """The value of `traceparent` for the service's own span."""

    @property
    def trace_id(self) -> str:
        """The id of the trace, for the log."""
        return trace_id_of(self.header)

    def step(self, name: str) -> None:
        """A step of the request's way begins, which ends the one before."""

    def found(self, model: str, version: int) -> None:
        """The request is one for this model."""

    def queued(self, rows: int) -> None:
        """Its rows wait for a device from now on."""

    def taken(self, at: float) -> None:
        """A device has taken rows of it."""

    def ran(self, began: float, seconds: float, rows: int, batch_rows: int, code: str | None) -> None:
        """A batch has run.

        Args:
            rows: how many rows of the batch are the request's.
            code: the error that the batch ended with.
        """

    def failed(self, code: str) -> None:
        """The request has failed in the present step: with the code of an error, `client_gone` or `cancelled`."""

    def end(self, status: int) -> None:
        """The answer is sent; 0 for the status if there was none."""


UNTRACED = Trace(span_in(None))
"""For rows that belong to no request."""


class Tracing:
    """Finds or begins the trace of each request, and records nothing."""

    def begin(self, scope: Mapping[str, Any], route: str | None) -> Trace:
        """The trace of a request that has just come.

        Args:
            scope: as ASGI has it.
            route: the path of the endpoint with its parameters' names, where requests to it are to be recorded.
        """
        return Trace(span_in(context_of(scope["headers"])))

    def close(self) -> None:
        """Sends what is recorded."""


def open_tracing() -> Tracing:
    """Tracing as OpenTelemetry's environment variables want it.

    Raises:
        StartError: spans are to be sent, but the packages of OpenTelemetry are missing, or the variables ask for
            something else than OTLP over HTTP.
    """
    endpoint = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    exporter = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if endpoint is None or exporter == "none" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return Tracing()
    if exporter != "otlp":
        raise StartError(f"OTEL_TRACES_EXPORTER: expected otlp or none, got {exporter}")
    protocol = next((name for name in _PROTOCOLS if os.environ.get(name)), None)
    if protocol is not None and os.environ[protocol] != _PROTOCOL:
        raise StartError(f"{protocol}: expected {_PROTOCOL}, got {os.environ[protocol]}")
    try:
        from app.telemetry.spans import open_recorder

        return open_recorder()
    except ModuleNotFoundError as error:
        raise StartError(
            f"{endpoint} is set, but there is no {error.name}: install the extra otel (pip install '.[otel]'), or set "
            "OTEL_SDK_DISABLED=true"
        ) from error
    except ValueError as error:  # the SDK reads some variables as it is imported
        raise StartError(f"OpenTelemetry: {error}") from error
