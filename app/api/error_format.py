"""How a protocol says what went wrong: its error body, and its status where that is another than the class's own."""

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
    """`/v2` for `/v2` itself and what lies below `/v2/`; empty for every path."""
    model: type[BaseModel]
    """The body as the OpenAPI document shows it."""
    content: Callable[[str, str, str | None, str], dict[str, Any]]
    """The body, from code, message, field and the id of the request."""
    status: Callable[[int], int] = _as_it_is
    """The status that stands for that of a class."""

    def covers(self, path: str) -> bool:
        """Whether a path is one of its own."""
        return not self.prefix or path == self.prefix or path.startswith(f"{self.prefix}/")
