"""The answers that are rendered once, against those that the error handlers render for each request."""

import orjson
import pytest

from app.api.error_handlers import problem
from app.api.refusal import Refusal
from app.errors import InvalidInput, QueueFull, ServiceError, Unauthorized

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
ERRORS = [QueueFull('"%s" {} 100 % full', 7), Unauthorized("no key"), InvalidInput("no", "inputs[0]")]


@pytest.mark.parametrize("path", ["/predict", "/v2/models/a/infer"])
@pytest.mark.parametrize("error", ERRORS)
def test_each_answer_is_that_of_the_error_with_its_own_ids(path: str, error: ServiceError) -> None:
    refusal = Refusal(path, error)
    for request_id in (b"a", b"b" * 256, b"0" * 32):
        answer = refusal.answer(request_id, TRACE, [(b"date", b"today")])
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = dict(line.split(b": ", 1) for line in lines)
        status, expected = problem(path, error, request_id.decode())
        assert first.startswith(b"HTTP/1.1 %d " % status)
        assert orjson.loads(body) == orjson.loads(expected)
        assert len(headers) == len(lines)
        assert headers[b"content-length"] == b"%d" % len(body)
        assert headers[b"x-request-id"] == request_id
        assert headers[b"traceparent"] == TRACE
        assert headers[b"date"] == b"today"
        assert headers.get(b"retry-after") == (b"7" if error.retry_after else None)
        assert headers.get(b"www-authenticate") == (b"Bearer" if status == 401 else None)
        assert headers[b"x-content-type-options"] == b"nosniff"
