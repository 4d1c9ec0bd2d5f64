"""A request over HTTP: reads its body, and compresses the answer as the client accepts."""

from collections.abc import Mapping

from fastapi import Request, Response

from app.api.body import LARGE, accepted_encoding, compress, read_body
from app.api.inference import Encoded, Exchange, run
from app.api.memory import held
from app.api.services import services
from app.errors import InvalidInput

_WORTH_COMPRESSING = 4096  # bytes; less fits the first packets, and compressing it takes longer than it saves
_LONGEST_TIMEOUT = 9  # digits; int() of thousands of them is slow, or raises


class HttpExchange(Exchange[Response]):
    """One request, admitted by the gateway.

    Args:
        headers: by name in lower case.
    """

    def __init__(self, request: Request, headers: Mapping[bytes, bytes]) -> None:
        super().__init__(services(request), held(request), request.scope["state"]["trace"])
        self._headers = headers
        self._receive = request.receive
        self.gone = request.receive  # after a whole body, it returns only when the client disconnects

    def seconds(self) -> float | None:
        """The value of X-Request-Timeout-Ms."""
        given = self._headers.get(b"x-request-timeout-ms")
        if given is None:
            return None
        if not given.isdigit() or len(given) > _LONGEST_TIMEOUT or int(given) == 0:
            raise InvalidInput("expected a whole number of milliseconds, 1 or more", "X-Request-Timeout-Ms")
        return int(given) / 1000

    async def read(self) -> bytes:
        """The body, decompressed."""
        return await read_body(self._receive, self._headers, self.services.settings.max_body_bytes, self.memory)

    async def finish(self, encoded: Encoded) -> Response:
        """The response, compressed if that is worth it."""
        content, headers = encoded.content, {"Vary": encoded.vary, **encoded.headers}
        self.memory.resize(len(content))
        accepts = self._headers.get(b"accept-encoding", b"")
        worth_it = len(content) >= _WORTH_COMPRESSING and not encoded.media_type.startswith("image/")  # small already
        if accepts and worth_it and (encoding := accepted_encoding(accepts)) is not None:
            content = await run(len(content) > LARGE, compress, content, encoding)
            headers["Content-Encoding"] = encoding.decode()
            self.memory.resize(len(content))
        return Response(content, media_type=encoded.media_type, headers=headers)
