"""Reports a prediction request to telemetry, however it ends."""

import asyncio
import time
from collections import Counter
from types import TracebackType
from typing import Self

from starlette.requests import ClientDisconnect

from app.contract.decisions import Decided
from app.engine.bare_model import Servable
from app.errors import ServiceError
from app.failures import ClientGone
from app.telemetry.metrics import Series, Telemetry
from app.telemetry.tracing import Trace


class RequestMetrics:
    """A context manager that counts and times the request answered in it."""

    def __init__(self, telemetry: Telemetry, trace: Trace) -> None:
        self._telemetry = telemetry
        self._trace = trace
        self._began = time.perf_counter()
        self._series: Series | None = None
        self.read = self.ran = self._began
        """When the inputs were read into an array, and when the outputs were there."""
        self.decided: Decided = Counter()
        """Rows by decision of the model's or operator's policy; reported only if the request is answered."""

    def found(self, model: Servable) -> None:
        """Notes the model, whose metrics count the request."""
        self._trace.found(model.name, model.version)
        self._series = self._telemetry.series(model.name, model.version, model.contract)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        code = "ok" if error is None else code_of(error)
        if self._series is None:
            self._telemetry.rejected(code)
            return
        ended = time.perf_counter()
        self._series.answered(code, ended - self._began)
        if error is None:
            self._series.statistics.succeeded(ended - self._began, self.read - self._began, ended - self.ran)
            self._series.decided(self.decided)
        else:
            self._series.statistics.fail.add(ended - self._began)


def code_of(error: BaseException) -> str:
    """What became of a request that ended with an error, in a word."""
    if isinstance(error, ServiceError):
        return error.code
    if isinstance(error, ClientGone | ClientDisconnect):
        return "client_gone"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else ServiceError.code  # the grace time is over
