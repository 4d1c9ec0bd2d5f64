import random

import pytest

from app.feedback import seen
from app.feedback.seen import Seen

HOUR = 3600


def test_each_counts_once() -> None:
    found = Seen()
    assert found.add([(1, 0), (2, 0), (1, 0)], 0) == [True, True, False]
    assert found.add([(2, 0), (3, 0)], 0) == [False, True]


def test_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_FEW", 100)
    numbers = [random.Random(at).getrandbits(64) for at in range(1050)]
    found = Seen()
    for number in numbers:
        assert found.add([(number, 5)], 0) == [True]
    assert found.add([(number, 5) for number in numbers], 0) == [False] * 1050


def test_what_cannot_come_again_is_forgotten() -> None:
    found = Seen(most=2)
    found.add([(1, 0), (2, HOUR)], 0)
    found.add([(3, 2 * HOUR)], earliest=HOUR)  # the first is too old to come again: there is room
    assert found.since == 0
    assert found.add([(2, HOUR)], HOUR) == [False]


def test_too_many_end_the_time_in_which_receipts_are_taken() -> None:
    found = Seen(most=2)
    assert found.add([(1, 0), (2, HOUR), (3, 2 * HOUR)], 0) == [True] * 3
    assert found.since == HOUR
    assert found.add([(2, HOUR), (3, 2 * HOUR)], 0) == [False, False]
