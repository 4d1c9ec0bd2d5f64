"""Says what is wrong with JSON, and where."""

import re

import msgspec

from app.errors import MalformedBody

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text that is not JSON. Catch ValidationError, a subclass of the first, before."""


def place(error: msgspec.ValidationError) -> tuple[str, str]:
    """Splits an error of msgspec into message and place, such as `model` or `[0][3]`."""
    # msgspec gives the place in its text only
    message, _, found = str(error).partition(" - at `$")
    return message, found.rstrip("`").lstrip(".")


def malformed(body: bytes, error: Exception) -> MalformedBody:
    """Why a body is not JSON. NaN and Infinity get their own message, because Python's json module writes them."""
    _, _, tail = str(error).rpartition("(byte ")
    at = int(tail.rstrip(")")) if tail.rstrip(")").isdigit() else len(body)
    for word in (b"NaN", b"Infinity"):  # in -Infinity the parser stops at the I
        if body.startswith(word, at):
            keys = re.findall(rb'"(\w+)"\s*:', body[:at])
            return MalformedBody(
                f"{word.decode()} at byte {at}: JSON has no such number, expected finite numbers",
                keys[-1].decode() if keys else None,
            )
    return MalformedBody(f"the body is not JSON: {error}")
