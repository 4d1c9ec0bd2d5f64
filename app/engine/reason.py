"""Why a file is rejected, in words that may go anywhere: names and errors from the file are made harmless."""

_MOST = 500  # characters


def reason(text: str) -> str:
    """The text on one line, with control and invisible characters escaped, and cut where it is too long."""
    cut = text[: 2 * _MOST]  # before any work: it may be the size of a file
    plain = " ".join(cut.split())
    escaped = "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in plain)
    return escaped if len(escaped) <= _MOST and len(text) <= 2 * _MOST else f"{escaped[: _MOST - 1]}…"
