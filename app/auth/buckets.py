"""How much of its rate each key has left."""

from typing import Protocol


class Buckets(Protocol):
    """Token buckets by name: each fills at a steady rate, up to one second's worth; each request takes one token."""

    def take(self, name: str, rate: float, now: float) -> float:
        """Takes a token. Returns 0, or the seconds until the next token."""


class OwnBuckets:
    """Those of a process that serves alone."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str, rate: float, now: float) -> float:
        """Takes a token. Returns 0, or the seconds until the next token."""
        left, at, wait = take_token(*self._buckets.get(name, (most_tokens(rate), now)), rate, now)
        self._buckets[name] = left, at
        return wait


def most_tokens(rate: float) -> float:
    """What a bucket holds, and begins with."""
    return max(1.0, rate)  # at less than 1 a second it would never hold a whole token


def take_token(left: float, at: float, rate: float, now: float) -> tuple[float, float, float]:
    """What is left after a token was taken, when that is, and how long to wait for one if there was none."""
    now = max(at, now)  # another process may have come between the clock and the bucket
    left = min(most_tokens(rate), left + (now - at) * rate)
    return (left, now, (1 - left) / rate) if left < 1 else (left - 1, now, 0.0)
