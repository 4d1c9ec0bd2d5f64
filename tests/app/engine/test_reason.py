import pytest

from app.engine.reason import reason
from tests.hostile.names import EVIL


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the weights of 'wärme' hold NaN", "the weights of 'wärme' hold NaN"),
        ("one\r\n\ttwo  three\u2028four", "one two three four"),
        ("\x1b[31mred\x07\x00", r"\x1b[31mred\x07\x00"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
        (EVIL, r'\x1b[2J {"level": "critical"}\u202e\x00'),
        ("", ""),
    ],
)
def test_nothing_in_it_can_be_taken_for_more_than_text(text: str, expected: str) -> None:
    assert reason(text) == expected
    assert reason(expected) == expected


@pytest.mark.parametrize("text", ["x" * 501, "x" * 10_000_000, "\x00" * 400, " x" * 1000, "x" * 400 + " " * 2000 + "y"])
def test_it_is_cut_where_it_is_too_long(text: str) -> None:
    found = reason(text)
    assert len(found) <= 500
    assert found.endswith("…")


def test_it_is_whole_where_it_is_not() -> None:
    assert reason("x" * 500) == "x" * 500
