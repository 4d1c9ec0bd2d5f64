"""Work in a thread of its own that the end of the process does not wait for, unlike that of an executor."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def in_background(work: Callable[[], None], name: str) -> Future[None]:
    """Begins the work, and returns what tells its end; nobody can cancel it.

    Args:
        name: of the thread.
    """
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
