"""W3C Trace Context: the header `traceparent`, by which the spans of one request find each other across services."""

import random
import re
from collections.abc import Iterable
from typing import NamedTuple

HEADER = b"traceparent"
STATE = b"tracestate"

_LENGTH = 55  # of version 00; later versions may add more
_FORMAT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.DOTALL
)
_SAMPLED = 1


class TraceContext(NamedTuple):
    """A span and the trace that it belongs to."""

    trace_id: bytes
    """32 hexadecimal digits."""
    span_id: bytes
    """16 hexadecimal digits."""
    sampled: int
    """1 if whoever has the span may have recorded it, otherwise 0."""


def context_of(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    """What the caller sent; None if that is nothing, malformed, or sent more than once."""
    given = [value for name, value in headers if name == HEADER]
    if len(given) != 1 or (found := _FORMAT.fullmatch(given[0])) is None:
        return None
    if len(given[0]) > _LENGTH and given[0].startswith(b"00"):
        return None
    trace_id, span_id, flags = found.groups()
    return TraceContext(trace_id, span_id, int(flags, 16) & _SAMPLED)


def span_in(parent: TraceContext | None) -> bytes:
    """The header of a new span in the caller's trace; without a caller in a new one, which nobody records."""
    if parent is None:
        return b"00-%032x-%016x-00" % (random.getrandbits(128), random.getrandbits(64))
    return b"00-%b-%016x-%02x" % (parent.trace_id, random.getrandbits(64), parent.sampled)


def trace_id_of(header: bytes) -> str:
    """The trace of a header that `span_in` made."""
    return header[3:35].decode()
