"""Does work once for all requests that wait for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from app.engine.background import in_background


class SingleFlight:
    """Used from one event loop only."""

    def __init__(self) -> None:
        self._flights: dict[str, Future[None]] = {}

    async def wait(self, name: str, work: Callable[[], None]) -> None:
        """Waits for the work under that name; starts it in a thread if none is running.

        The work goes on when the request that started it stops waiting: others may still wait.

        Raises:
            Exception: whatever the work raises.
        """
        flight = self._flights.get(name)
        if flight is None or flight.done():  # a failed one too: the next request tries again
            flight = self._flights[name] = in_background(work, f"load-{name}")
        await asyncio.wrap_future(flight)
