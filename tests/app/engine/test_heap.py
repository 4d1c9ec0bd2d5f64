"""When freed memory is given back, with a second made short."""

import asyncio
import ctypes
import sys
import time

import pytest

from app.engine import heap
from app.engine.heap import MUCH, Heap, glibc_trim
from tests.app.engine.fakes import until


class Trimmed:
    def __init__(self) -> None:
        self.times = 0
        self.in_use = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def trimmed(monkeypatch: pytest.MonkeyPatch) -> Trimmed:
    monkeypatch.setattr(heap, "SECONDS", 0.01)
    return Trimmed()


def run(trimmed: Trimmed, *sizes: int) -> None:
    async def free() -> None:
        it = Heap(lambda: trimmed.in_use, trimmed)
        for size in sizes:
            it.freed(size)
        await asyncio.sleep(0.2)

    asyncio.run(free())


@pytest.mark.parametrize(
    ("sizes", "times"), [([MUCH], 1), ([MUCH // 2] * 2, 1), ([MUCH] * 100, 1), ([MUCH - 1], 0), ([1000] * 100, 0)]
)
def test_much_is_given_back_once(trimmed: Trimmed, sizes: list[int], times: int) -> None:
    run(trimmed, *sizes)
    assert trimmed.times == times


def test_what_will_be_used_again_is_kept_until_it_is_little(trimmed: Trimmed) -> None:
    async def free() -> None:
        it = Heap(lambda: trimmed.in_use, trimmed)
        trimmed.in_use = MUCH // 4
        it.freed(MUCH)
        await asyncio.sleep(0.1)
        assert trimmed.times == 0
        trimmed.in_use = MUCH // 8
        await asyncio.to_thread(until, lambda: trimmed.times == 1)
        it.freed(MUCH)
        await asyncio.to_thread(until, lambda: trimmed.times == 2)

    asyncio.run(free())


def test_nothing_happens_where_the_c_library_cannot() -> None:
    Heap(lambda: 0, None).freed(10 * MUCH)  # nor does it need a loop


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_glibc_gives_back_what_lies_between_things_in_use() -> None:
    trim = glibc_trim()
    if trim is None:
        pytest.skip("the C library is not glibc")

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    blocks = [bytes([1]) * 100_000 for _ in range(1000)]  # below the size from which each has its own mapping
    kept = blocks[::20]
    before = resident()
    del blocks
    trim()
    assert resident() < before - 60_000_000
    assert len(kept) == 50


def test_there_is_none_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert glibc_trim.__wrapped__() is None


class Large:
    """What holds much memory."""


def test_the_heap_is_trimmed_once_what_held_much_is_gone(trimmed: Trimmed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "glibc_trim", lambda: trimmed)
    first, second = Large(), Large()
    heap.trim_after(first)
    heap.trim_after(second)
    del first
    until(lambda: trimmed.times == 1)
    time.sleep(0.05)
    assert trimmed.times == 1  # the second is still held
    del second
    until(lambda: trimmed.times == 2)


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "glibc_trim", lambda: None)
    heap.trim_after(Large())
