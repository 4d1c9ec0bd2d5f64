"""How a protocol reports errors: its body, and its status if that differs from the class's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


def _as_it_is(status: int) -> int:
    return status


@dataclass(frozen=True)
class ErrorFormat:
    """The error body of the paths under a prefix."""

    prefix: str
    """`/v2` covers `/v2` itself and what lies below `/v2/`; an empty prefix covers every path."""
    model: type[BaseModel]
    """Model of the body for the OpenAPI document."""
    content: Callable[[str, str, str | None, str], dict[str, Any]]
    """Makes the body from code, message, field and request id."""
    status: Callable[[int], int] = _as_it_is
    """Maps a class's status to the protocol's."""

    def covers(self, path: str) -> bool:
        """Whether a path has this format."""
        return not self.prefix or path == self.prefix or path.startswith(f"{self.prefix}/")
