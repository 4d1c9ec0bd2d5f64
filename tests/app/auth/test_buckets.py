"""Token buckets, of one process and of several."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.auth.buckets import Buckets, OwnBuckets
from app.auth.shared_buckets import SharedBuckets

KINDS = [lambda _: OwnBuckets(), lambda folder: SharedBuckets(folder / "rates")]


@pytest.mark.parametrize("made", KINDS)
def test_it_holds_a_second_and_fills_at_its_rate(made: Callable[[Path], Buckets], tmp_path: Path) -> None:
    buckets = made(tmp_path)
    assert [buckets.take("a", 2, 10.0) for _ in range(3)] == [0, 0, 0.5]
    assert buckets.take("b", 2, 10.0) == 0  # has its own
    assert buckets.take("a", 2, 10.5) == 0
    assert buckets.take("a", 2, 10.5) == 0.5
    assert [buckets.take("a", 2, 99.0) for _ in range(3)] == [0, 0, 0.5]


@pytest.mark.parametrize("made", KINDS)
def test_below_one_a_second_it_holds_one(made: Callable[[Path], Buckets], tmp_path: Path) -> None:
    buckets = made(tmp_path)
    assert [buckets.take("a", 0.5, 10.0) for _ in range(2)] == [0, 2]
    assert buckets.take("a", 0.5, 12.0) == 0


@pytest.mark.parametrize("made", KINDS)
def test_a_clock_read_before_waiting_for_another_process_takes_nothing_away(
    made: Callable[[Path], Buckets], tmp_path: Path
) -> None:
    buckets = made(tmp_path)
    assert [buckets.take("a", 2, now) for now in (10.0, 9.9, 10.0)] == [0, 0, 0.5]
