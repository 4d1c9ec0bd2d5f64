"""Ends a job when its time is up or its client has gone. Rows that no device has taken by then are not computed."""

import asyncio
from collections.abc import Awaitable, Callable

from app.engine.job import Job
from app.errors import DeadlineExceeded
from app.failures import ClientGone

_UNWATCHED_SECONDS = 0.02  # a request answered sooner is not worth a task that watches its client


class ClientWatch:
    """Starts when the job enters the queue; the caller ends it with the job.

    Args:
        seconds: how long its rows may wait for a device and run on it.
        gone: completes when the client disconnects; None if nothing can tell.
    """

    def __init__(
        self, job: Job, seconds: float, gone: Callable[[], Awaitable[object]] | None, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._job = job
        self._seconds = seconds
        self._gone = gone
        self._loop = loop
        self._client: asyncio.Task[None] | None = None
        if gone is None or seconds <= _UNWATCHED_SECONDS:
            self._timer = loop.call_later(seconds, self._expire)
        else:
            self._timer = loop.call_later(_UNWATCHED_SECONDS, self._look_out)

    def end(self) -> None:
        """Stops watching."""
        self._timer.cancel()
        client, self._client = self._client, None  # or its traceback makes a cycle that only the collector frees
        if client is not None:
            client.cancel()

    def _look_out(self) -> None:
        self._timer = self._loop.call_later(self._seconds - _UNWATCHED_SECONDS, self._expire)
        self._client = self._loop.create_task(self._wait_for_the_client())

    async def _wait_for_the_client(self) -> None:
        if self._gone is not None:
            await self._gone()  # after a whole body, receive returns only when the client disconnects
            self._job.fail(ClientGone())

    def _expire(self) -> None:
        within = f"within {1000 * self._seconds:.0f} ms"
        if self._job.taken < self._job.rows:
            self._job.fail(DeadlineExceeded(f"no device was free for these rows {within}"))
        else:  # the answer may be about to come, or a device may hang for ever
            self._job.fail(DeadlineExceeded(f"these rows were at work, but not done {within}"))
