"""Which connections are closed to make room, and how many there may be; with clients, in test_slow_clients."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from app import connections as module
from app.connections import Connections, most_connections
from app.failures import StartError


class Fake:
    """A connection that notes what becomes of it."""

    def __init__(self, waiting: float | None = None) -> None:
        self.waiting = waiting
        self.abandoned = False
        self.looks: list[float] = []

    def end_if_overdue(self, now: float) -> None:
        self.looks.append(now)

    def waiting_since(self) -> float | None:
        return self.waiting

    def abandon(self) -> None:
        self.abandoned = True


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


def full(*of: Fake, most: int = 3, head_seconds: float = 10.0) -> Connections:
    found = Connections(most, head_seconds)
    for one in of:
        found.add(one)
    return found


def gone(*of: Fake) -> list[bool]:
    return [one.abandoned for one in of]


@in_loop
async def test_up_to_so_many_stay_and_then_the_longest_idle_one_goes() -> None:
    first, second, third, fourth, fifth = (Fake() for _ in range(5))
    among = full(first, second, third)
    assert gone(first, second, third) == [False] * 3
    among.add(fourth)
    among.add(fifth)
    assert gone(first, second, third, fourth, fifth) == [True, True, False, False, False]
    assert len(among) == 3


@in_loop
async def test_who_was_answered_counts_as_idle_from_then_on() -> None:
    first, second, third = (Fake() for _ in range(3))
    among = full(first, second, third)
    among.begin(first)
    among.rest(first)
    among.begin(second)
    among.add(Fake())
    assert gone(first, second, third) == [False, False, True]
    among.add(Fake())
    assert gone(first, second) == [True, False]


@in_loop
async def test_where_all_are_at_work_the_newcomer_is_not_admitted() -> None:
    busy = [Fake() for _ in range(3)]
    among = full(*busy)
    for one in busy:
        among.begin(one)
    newcomer, another = Fake(), Fake()
    among.add(newcomer)
    assert not among.admit(newcomer)
    among.add(another)
    assert gone(*busy, newcomer, another) == [False] * 3 + [True, False]
    assert len(among) == 4
    among.remove(busy[0])
    assert among.admit(another)


@in_loop
async def test_who_comes_with_a_request_takes_the_place_of_an_idle_one() -> None:
    busy = [Fake() for _ in range(3)]
    among = full(*busy)
    for one in busy:
        among.begin(one)
    newcomer = Fake()
    among.add(newcomer)
    among.rest(busy[1])
    assert among.admit(newcomer)
    assert gone(*busy) == [False, True, False]


@in_loop
async def test_or_of_the_one_that_has_waited_longest_for_its_client_if_for_long() -> None:
    now = asyncio.get_running_loop().time()
    working, long, longer, short = Fake(), Fake(now - 11), Fake(now - 12), Fake(now - 9)
    among = full(working, long, longer, short, most=4)
    for one in (working, long, longer, short):
        among.begin(one)
    for expected in ([False, False, True, False], [False, True, True, False]):
        newcomer = Fake()
        among.add(newcomer)
        assert among.admit(newcomer)
        among.begin(newcomer)
        assert gone(working, long, longer, short) == expected
    newcomer = Fake()
    among.add(newcomer)
    assert not among.admit(newcomer)


@in_loop
async def test_of_several_that_have_waited_equally_long_the_first_to_come_goes() -> None:
    now = asyncio.get_running_loop().time()
    waiting = [Fake(now - 11) for _ in range(20)]  # uvloop's clock counts milliseconds
    among = full(*waiting, most=len(waiting))
    for one in waiting:
        among.begin(one)
    newcomer = Fake()
    among.add(newcomer)
    assert among.admit(newcomer)
    assert gone(*waiting) == [True] + [False] * 19


@in_loop
async def test_one_that_is_closed_is_no_longer_idle_and_does_not_become_so() -> None:
    first, second = Fake(), Fake()
    among = full(first, second, most=2)
    among.remove(first)
    among.rest(first)
    among.add(Fake())
    assert gone(first, second) == [False, False]
    among.add(Fake())
    assert gone(first, second) == [False, True]


@in_loop
async def test_it_looks_at_all_of_them_while_there_are_any() -> None:
    first, second = Fake(), Fake()
    among = full(first, head_seconds=0.04)
    await asyncio.sleep(0.1)
    assert len(first.looks) >= 2
    among.remove(first)
    await asyncio.sleep(0.05)
    seen = len(first.looks)
    await asyncio.sleep(0.05)
    assert len(first.looks) == seen
    among.add(second)
    await asyncio.sleep(0.1)
    assert second.looks
    among.remove(second)


class Failing(Fake):
    """One that cannot be closed."""

    def end_if_overdue(self, now: float) -> None:
        raise OSError


@in_loop
async def test_it_goes_on_looking_though_one_of_them_fails() -> None:
    failed: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context))
    other, failing = Fake(), Failing()  # the last to come is looked at first
    among = full(other, failing, head_seconds=0.04)
    await asyncio.sleep(0.1)
    assert failed
    among.remove(failing)
    await asyncio.sleep(0.1)
    assert other.looks
    among.remove(other)


@in_loop
async def test_it_looks_at_a_great_number_of_them_in_several_passes() -> None:
    many = [Fake() for _ in range(200)]
    among = full(*many, most=1000, head_seconds=0.04)
    await asyncio.sleep(0.2)
    assert all(one.looks for one in many)
    assert max(Counter(one.looks[0] for one in many).values()) < 100
    for one in many:
        among.remove(one)


@pytest.mark.parametrize(
    ("limit", "files", "wanted", "expected"),
    [
        (1024, 30, None, 930),
        (128, 30, None, 34),
        (2**20, 30, None, 4096),
        (None, 30, None, 4096),
        (1024, 30, 12, 12),
        (1024, 30, 930, 930),
        (None, 30, 50_000, 50_000),
        (2**20, 30, 50_000, 50_000),
    ],
)
def test_descriptors_decide_how_many_there_may_be(
    monkeypatch: pytest.MonkeyPatch, limit: int | None, files: int, wanted: int | None, expected: int
) -> None:
    monkeypatch.setattr(module, "_most_files", lambda: limit)
    monkeypatch.setattr(module, "_open_files", lambda: files)
    assert most_connections(wanted) == expected


@pytest.mark.parametrize(
    ("limit", "wanted", "message"),
    [
        (1024, 931, "MASKSEMBLES_MAX_CONNECTIONS=931: expected at most 930, .* may open 1024 files"),
        (94, None, "the process may open 94 files .*; expected at least 95"),
    ],
)
def test_too_few_descriptors_end_the_start(
    monkeypatch: pytest.MonkeyPatch, limit: int, wanted: int | None, message: str
) -> None:
    monkeypatch.setattr(module, "_most_files", lambda: limit)
    monkeypatch.setattr(module, "_open_files", lambda: 30)
    with pytest.raises(StartError, match=message):
        most_connections(wanted)


def test_two_servers_share_what_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_most_files", lambda: 1024)
    monkeypatch.setattr(module, "_open_files", lambda: 30)
    assert most_connections(None, 2) == 465
    with pytest.raises(StartError, match="MASKSEMBLES_MAX_CONNECTIONS=466: expected at most 465"):
        most_connections(466, 2)


def test_the_system_says_how_many_files_may_be_open() -> None:
    assert 3 <= module._open_files() < 10_000
    limit = module._most_files()
    assert limit is None or limit > module._open_files()
