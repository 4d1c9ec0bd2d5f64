"""Query strings: their parameters by name. Unknown ones are refused, as unknown fields of a body are: a misspelt
`output=entropy` would otherwise be answered as if it were not there.

Not so on /v2, where unknown fields of a body are ignored, too: Triton ignores both, and the `query_params` of its
client are there for whatever lies between. Nor on /health, /metrics and /docs: probes, scrapers and browsers add
parameters of their own, and there is nothing to choose.
"""

from collections.abc import Collection
from urllib.parse import parse_qsl

from fastapi import Request

from app.errors import InvalidInput

_MOST = 100
_LONGEST_NAME = 100  # characters of a name in a message


def read(query: bytes, known: Collection[str]) -> dict[str, str]:
    """The parameters of a query string by name.

    Raises:
        InvalidInput: one is unknown or there more than once, or there are more than 100.
    """
    fields: dict[str, str] = {}
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MOST)
    except ValueError:
        raise InvalidInput(f"expected a query of at most {_MOST} parameters") from None
    for name, value in pairs:
        if name not in known:  # the value is not repeated: it may be a key
            there = f"there are: {', '.join(known)}" if known else "there are none here"
            raise InvalidInput(f"unknown query parameter; {there}", name[:_LONGEST_NAME] or "query")
        if name in fields:  # a dict would silently keep the last
            raise InvalidInput("is there more than once", name)
        fields[name] = value
    return fields


async def no_query(request: Request) -> None:
    """A dependency of routes without query parameters.

    Raises:
        InvalidInput: the request has one.
    """
    read(request.scope["query_string"], ())
