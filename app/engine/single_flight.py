"""Work that several requests wait for, done once for all of them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from app.engine.background import in_background


class SingleFlight:
    """Belongs to the event loop that asks."""

    def __init__(self) -> None:
        self._flights: dict[str, Future[None]] = {}

    async def wait(self, name: str, work: Callable[[], None]) -> None:
        """Until what is being done under that name is done; where nothing is, the work is begun, beside the loop.

        It goes on when who began it waits no longer: the others still do.

        Raises:
            Exception: that of the work.
        """
        flight = self._flights.get(name)
        if flight is None or flight.done():
            flight = self._flights[name] = in_background(work, f"load-{name}")
        await asyncio.wrap_future(flight)
