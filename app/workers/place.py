"""One process's place among those that serve on one port together."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """The place of a worker, which its successor takes over when it dies.

    Args:
        index: which of them it is, from 0.
        count: how many there are.
        folder: what they share lies there; it is theirs alone, and goes with the service.
    """

    index: int
    count: int
    folder: Path
