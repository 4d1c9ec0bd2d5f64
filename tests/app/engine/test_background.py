import threading
from concurrent.futures import CancelledError

import pytest

from app.engine.background import in_background
from tests.app.engine.fakes import until


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), CancelledError()])
def test_an_error_is_told_to_whoever_waits_and_nobody_else(error: BaseException) -> None:
    def fail() -> None:
        raise error

    future = in_background(fail, "for-a-test")
    with pytest.raises(type(error)) as caught:
        future.result(30)
    assert caught.value is error


def test_nobody_can_cancel_it_and_it_keeps_no_process_from_its_end() -> None:
    free = threading.Event()
    done: list[int] = []

    def work() -> None:
        assert free.wait(30)
        done.append(1)

    future = in_background(work, "for-a-test")
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "for-a-test")
    assert thread.daemon
    assert not future.cancel()
    assert not future.done()
    free.set()
    until(future.done)
    assert future.result() is None
    assert done == [1]
