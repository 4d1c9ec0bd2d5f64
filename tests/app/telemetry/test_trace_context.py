import pytest

from app.telemetry.trace_context import TraceContext, context_of, span_in, trace_id_of

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
VALID = b"00-%b-%b-01" % (TRACE, SPAN)


def sent(*values: bytes) -> TraceContext | None:
    return context_of([(b"accept", b"*/*"), *((b"traceparent", value) for value in values)])


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (VALID, 1),
        (VALID[:-2] + b"00", 0),
        (VALID[:-2] + b"03", 1),  # a flag of a later level
        (VALID[:-2] + b"fe", 0),
        (b"01" + VALID[2:], 1),  # later versions of the format
        (b"cc" + VALID[2:] + b"-what comes then", 1),
        (b"cc" + VALID[2:] + b"-", 1),
    ],
)
def test_what_the_caller_sent_is_read(value: bytes, sampled: int) -> None:
    assert sent(value) == (TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        VALID.upper(),
        VALID[:-1],
        VALID[:-2] + b"0g",
        VALID + b"-more",  # version 00 ends there
        VALID + b"-",
        VALID + b"\n",
        b" " + VALID,
        b"ff" + VALID[2:],
        b"cc" + VALID[2:] + b".what",
        b"0" + VALID[2:],
        VALID.replace(TRACE, b"0" * 32),
        VALID.replace(SPAN, b"0" * 16),
        VALID.replace(b"-", b"_"),
        VALID.replace(TRACE, TRACE[1:]),
        b"\xff" * 55,
        b"00-" * 20_000,
    ],
)
def test_what_is_malformed_counts_as_not_sent(value: bytes) -> None:
    assert sent(value) is None


def test_two_are_none() -> None:
    assert sent() is None
    assert sent(VALID, VALID) is None


@pytest.mark.parametrize("sampled", [0, 1])
def test_a_span_in_the_callers_trace_is_another_one(sampled: int) -> None:
    parent = TraceContext(TRACE, SPAN, sampled)
    header = span_in(parent)
    own = sent(header)
    assert own is not None
    assert (own.trace_id, own.sampled) == (TRACE, sampled)
    assert own.span_id != SPAN
    assert header == b"00-%b-%b-%02x" % own
    assert trace_id_of(header) == TRACE.decode()


def test_without_a_caller_a_trace_begins_that_nobody_records() -> None:
    made = [sent(span_in(None)) for _ in range(100)]
    assert len({one.trace_id for one in made}) == len({one.span_id for one in made}) == 100
    assert not any(one.sampled for one in made)
