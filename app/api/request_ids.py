"""Request ids: the header X-Request-ID, and the `id` in a body. One limit holds for both."""

import random
import re
from collections.abc import Iterable

MAX_ID_LENGTH = 256
HEADER = b"x-request-id"

# no blanks, quotes or line ends: it goes into logs and headers as it is
_ACCEPTED = re.compile(rb"[A-Za-z0-9._:-]{1,%d}" % MAX_ID_LENGTH)


def id_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The client's id if it can be logged and sent back unchanged, otherwise a new one."""
    for name, given in headers:
        if name == HEADER:
            return given if _ACCEPTED.fullmatch(given) else _new()
    return _new()


def _new() -> bytes:
    return b"%032x" % random.getrandbits(128)
