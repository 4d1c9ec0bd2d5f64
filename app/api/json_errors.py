"""What is wrong with JSON, in words that name the place."""

import re

import msgspec

from app.errors import MalformedBody

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises where a text is not JSON; catch ValidationError, a kind of the first, before."""


def place(error: msgspec.ValidationError) -> tuple[str, str]:
    """An error of msgspec as its message and its place, `model` or `[0][3]`."""
    message, _, found = str(error).partition(" - at `$")
    return message, found.rstrip("`").lstrip(".")


def malformed(body: bytes, error: Exception) -> MalformedBody:
    """Why a body is not JSON. Python's json module writes NaN and Infinity, so these get their own words."""
    _, _, tail = str(error).rpartition("(byte ")
    at = int(tail.rstrip(")")) if tail.rstrip(")").isdigit() else len(body)
    for word in (b"NaN", b"Infinity"):  # of -Infinity it is the I that is no number
        if body.startswith(word, at):
            keys = re.findall(rb'"(\w+)"\s*:', body[:at])
            return MalformedBody(
                f"{word.decode()} at byte {at}: JSON has no such number, expected finite numbers",
                keys[-1].decode() if keys else None,
            )
    return MalformedBody(f"the body is not JSON: {error}")
