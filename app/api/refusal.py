"""The answer to requests that are refused for one reason: rendered once, since there may be thousands a second."""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.error_handlers import extra_headers, problem
from app.api.request_ids import HEADER, id_of
from app.api.security_headers import security_headers
from app.errors import ServiceError
from app.telemetry import trace_context


class Refusal:
    """An answer as it is sent, but for what belongs to a single request.

    Args:
        path: of the requests, or of one of those that share a route.
        error: why they are refused.
    """

    def __init__(self, path: str, error: ServiceError) -> None:
        mark = id_of(())  # random: no message holds it
        self.status, body = problem(path, error, mark.decode())
        self._before, held, self._after = body.partition(mark)
        self._size = len(body) - len(held)
        self._holds_id = bool(held)  # bodies of v2 do not
        self._first = STATUS_LINE[self.status]
        headers = [(b"content-type", b"application/json"), *extra_headers(error), *security_headers(path)]
        self._same = b"".join(b"%b: %b\r\n" % header for header in headers)

    def answer(self, request_id: bytes, trace: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Head and body of one answer.

        Args:
            trace: the value of its `traceparent`.
            headers: what else belongs to it.
        """
        shown = request_id if self._holds_id else b""
        return b"".join(
            (
                self._first,
                *[b"%b: %b\r\n" % header for header in headers],
                self._same,
                b"content-length: %d\r\n%b: %b\r\n" % (self._size + len(shown), HEADER, request_id),
                b"%b: %b\r\n\r\n" % (trace_context.HEADER, trace),
                self._before,
                shown,
                self._after,
            )
        )
