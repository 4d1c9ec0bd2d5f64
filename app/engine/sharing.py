"""Work that several requests wait for: done once, in a thread of its own that no exit waits for."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future


class Sharing:
    """Belongs to the event loop that asks."""

    def __init__(self) -> None:
        self._running: dict[str, Future[None]] = {}

    async def wait(self, name: str, work: Callable[[], None]) -> None:
        """Until what is being done under that name is done; where nothing is, the work is begun.

        It goes on when who began it waits no longer.

        Raises:
            Exception: that of the work.
        """
        running = self._running.get(name)
        if running is None or running.done():
            running = self._running[name] = Future()
            running.set_running_or_notify_cancel()  # from here on nobody who leaves can cancel it
            threading.Thread(target=_do, args=(work, running), name=f"load-{name}", daemon=True).start()
        await asyncio.wrap_future(running)


def _do(work: Callable[[], None], running: Future[None]) -> None:
    try:
        work()
    except BaseException as error:
        running.set_exception(error)
    else:
        running.set_result(None)
