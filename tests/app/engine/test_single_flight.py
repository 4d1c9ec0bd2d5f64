import asyncio
import threading

import pytest

from app.engine.single_flight import SingleFlight


class Work:
    """Counts how often it is done; goes on when it is let."""

    def __init__(self) -> None:
        self.done = 0
        self.free = threading.Event()

    def __call__(self) -> None:
        assert self.free.wait(30)
        self.done += 1


def test_all_who_ask_wait_for_the_same_flight_and_a_later_one_begins_another() -> None:
    async def scene() -> None:
        flights, work = SingleFlight(), Work()
        waiting = [asyncio.create_task(flights.wait("a", work)) for _ in range(10)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        work.free.set()
        await asyncio.gather(*waiting)
        assert work.done == 1
        await flights.wait("a", work)
        assert work.done == 2

    asyncio.run(scene())


def test_it_goes_on_when_who_began_it_leaves() -> None:
    async def scene() -> None:
        flights, work = SingleFlight(), Work()
        first = asyncio.create_task(flights.wait("a", work))
        await asyncio.sleep(0)
        second = asyncio.create_task(flights.wait("a", work))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        work.free.set()
        await second
        assert work.done == 1

    asyncio.run(scene())


def test_other_names_do_not_wait() -> None:
    async def scene() -> None:
        flights, slow, quick = SingleFlight(), Work(), Work()
        waiting = asyncio.create_task(flights.wait("slow", slow))
        await asyncio.sleep(0)
        quick.free.set()
        await flights.wait("quick", quick)
        assert (quick.done, slow.done) == (1, 0)
        slow.free.set()
        await waiting

    asyncio.run(scene())


def test_an_error_reaches_all_who_wait() -> None:
    def fail() -> None:
        raise RuntimeError("no")

    async def scene() -> None:
        flights = SingleFlight()
        found = await asyncio.gather(*(flights.wait("a", fail) for _ in range(3)), return_exceptions=True)
        assert [str(error) for error in found] == ["no"] * 3

    asyncio.run(scene())
