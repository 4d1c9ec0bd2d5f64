import asyncio

import pytest

from app.engine.client_watch import ClientWatch
from app.engine.job import Job
from app.errors import DeadlineExceeded
from app.failures import ClientGone
from tests.app.engine.fakes import FakeSession, fake, rows


def job(loop: asyncio.AbstractEventLoop) -> Job:
    return Job(fake(FakeSession()), rows(1, 2), ("entropy",), loop.create_future())


def test_rows_that_nobody_took_in_time_fail() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        late = job(loop)
        ClientWatch(late, 0.01, None, loop)
        with pytest.raises(DeadlineExceeded, match="no device was free for these rows within 10 ms"):
            await late.future

    asyncio.run(scene())


def test_rows_that_a_device_has_fail_in_time_too() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        taken = job(loop)
        taken.taken = taken.rows
        ClientWatch(taken, 0.01, None, loop)
        with pytest.raises(DeadlineExceeded, match="these rows were at work, but not done within 10 ms"):
            await taken.future
        taken.succeed(0, {"entropy": rows(1, 2)["input"]})  # too late, and no trouble

    asyncio.run(scene())


def test_a_client_that_goes_ends_its_job() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        left, gone = job(loop), asyncio.Event()
        ClientWatch(left, 30, gone.wait, loop)
        await asyncio.sleep(0.05)  # a quicker answer is not worth watching the client
        gone.set()
        with pytest.raises(ClientGone):
            await left.future

    asyncio.run(scene())


def test_with_its_job_the_watch_ends_and_so_does_what_it_waits_for() -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        answered, cancelled = job(loop), asyncio.Event()

        async def gone() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        watch = ClientWatch(answered, 0.06, gone, loop)
        await asyncio.sleep(0.04)
        watch.end()
        await asyncio.wait_for(cancelled.wait(), 10)
        await asyncio.sleep(0.05)
        assert not answered.future.done()

    asyncio.run(scene())
