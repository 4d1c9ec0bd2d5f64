"""Runs work in a daemon thread. The process exits without waiting for it; the threads of an executor are joined."""

import threading
from collections.abc import Callable
from concurrent.futures import Future


def in_background(work: Callable[[], None], name: str) -> Future[None]:
    """Starts the work and returns a future that completes with it; nobody can cancel it.

    Args:
        name: name of the thread.
    """
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()  # wrap_future passes a waiter's cancellation on; a running future ignores it

    def run() -> None:
        try:
            work()
        except BaseException as error:  # SystemExit too: without a result the waiters would wait for ever
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
