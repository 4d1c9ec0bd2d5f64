"""Work that several requests wait for: done once, one after the other, in a thread that no exit waits for."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future


class SingleFlight:
    """Belongs to the event loop that asks."""

    def __init__(self) -> None:
        self._running: dict[str, Future[None]] = {}
        self._turn = threading.Lock()

    async def wait(self, name: str, work: Callable[[], None]) -> None:
        """Until what is being done under that name is done; where nothing is, the work is begun, after all before it.

        It goes on when who began it waits no longer.

        Raises:
            Exception: that of the work.
        """
        running = self._running.get(name)
        if running is None or running.done():
            running = self._running[name] = Future()
            running.set_running_or_notify_cancel()  # from here on nobody who leaves can cancel it
            threading.Thread(target=self._do, args=(work, running), name=f"load-{name}", daemon=True).start()
        await asyncio.wrap_future(running)

    def _do(self, work: Callable[[], None], running: Future[None]) -> None:
        try:
            with self._turn:
                work()
        except BaseException as error:
            running.set_exception(error)
        else:
            running.set_result(None)
