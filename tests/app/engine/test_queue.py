import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from app.engine.job import Job
from app.engine.model import Model
from app.engine.queue import Queue
from tests.app.engine.fakes import FakeModel, FakeSession, FreeModel, fake

A, B = fake(FakeSession(), name="a"), fake(FakeSession(), name="b")


def job(rows: int, model: Model = A) -> Job:
    return sized(model, rows, 2)


def sized(model: object, rows: int, size: int) -> Job:
    return Job(cast(Model, model), {"input": np.zeros((rows, size), np.float32)}, ("entropy",), cast(Any, None))


def sizes(queue: Queue) -> list[tuple[str, list[int]]]:
    """What is taken until the queue is empty: of which model, and how many rows of each job."""
    found = []
    while queue.rows:
        batch = queue.take()
        assert batch is not None
        assert len({part.job.model for part in batch}) == 1
        found.append((batch[0].job.model.name, [part.rows for part in batch]))
    return found


def test_batches_hold_what_came_first_and_are_full() -> None:
    queue = Queue(100, 8)
    for rows in (3, 3, 3, 1):
        assert queue.put(job(rows))
    assert queue.rows == 10
    assert sizes(queue) == [("a", [3, 3, 2]), ("a", [1, 1])]
    assert queue.rows == 0


def test_a_request_larger_than_a_batch_goes_in_parts() -> None:
    queue = Queue(100, 8)
    large = job(20)
    queue.put(large)
    queue.put(job(2))
    batches = [queue.take() for _ in range(3)]
    assert [[(part.start, part.stop) for part in batch or []] for batch in batches] == [
        [(0, 8)], [(8, 16)], [(16, 20), (0, 2)],
    ]  # fmt: skip
    assert large.taken == 20


def test_models_take_turns_and_never_share_a_batch() -> None:
    queue = Queue(100, 4)
    for rows, model in ((12, A), (1, B), (1, B), (4, A)):
        queue.put(job(rows, model))
    assert sizes(queue) == [("a", [4]), ("b", [1, 1]), ("a", [4]), ("a", [4]), ("a", [4])]


def test_rows_of_one_size_share_a_batch_and_the_oldest_is_always_in_the_next() -> None:
    queue, free = Queue(100, 8), FreeModel(FakeSession())
    jobs = [sized(free, rows, size) for rows, size in _MIXED]
    for one in jobs:
        queue.put(one)
    found = []
    while queue.rows:
        waiting = [one for one in jobs if one.taken < one.rows]
        batch = queue.take() or []
        assert batch[0].job is waiting[0]
        found.append([(part.rows, *part.job.sizes) for part in batch])
    assert found == [[(3, 2), (3, 2), (2, 2)], [(1, 5), (2, 5)], [(1, 2)]]


_MIXED = [(3, 2), (1, 5), (3, 2), (2, 5), (3, 2)]  # rows, and their size


def test_large_rows_make_small_batches_where_a_model_bounds_their_values() -> None:
    model = FreeModel(FakeSession(), name="free")
    model.most_values = 40
    queue = Queue(100, 8)
    for rows, size in ((20, 4), (3, 20), (2, 50)):
        queue.put(sized(model, rows, size))
    assert [rows for _, rows in sizes(queue)] == [[8], [8], [4], [2], [1], [1], [1]]


def test_with_a_delay_only_rows_of_the_oldest_size_fill_a_batch() -> None:
    queue, free = Queue(100, 4, delay=60.0), FreeModel(FakeSession())
    for rows, size in ((2, 2), (4, 5)):
        queue.put(sized(free, rows, size))
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    while not queue.takers:  # 6 rows wait, but no more than 2 of them can share the next batch
        assert not taken
    queue.put(sized(free, 2, 2))
    thread.join(30)
    assert [part.rows for part in taken[0]] == [2, 2]


def test_versions_of_a_model_never_share_a_batch() -> None:
    old, new = fake(FakeSession(), version=1), fake(FakeSession(), version=2)
    queue = Queue(100, 8)
    for model in (old, new, old):
        queue.put(job(1, model))
    assert [rows for _, rows in sizes(queue)] == [[1, 1], [1]]


def test_it_is_bounded_in_rows() -> None:
    queue = Queue(10, 4)
    assert queue.put(job(9))
    assert not queue.full
    assert not queue.put(job(2))
    assert queue.put(job(1))
    assert queue.full
    queue.take()
    assert queue.put(job(4))


def test_an_empty_one_admits_a_request_of_any_size() -> None:
    queue = Queue(10, 4)
    assert queue.put(job(50))
    assert not queue.put(job(1))


def test_a_quick_model_s_batch_is_half_of_what_waits_and_another_s_no_more_than_enough() -> None:
    quick = FakeModel(FakeSession())
    quick.inline_max_rows = 3
    queue = Queue(1000, 64, enough=16)
    for _ in range(100):
        queue.put(job(1, quick))  # type: ignore[arg-type]
    assert [sum(rows) for _, rows in sizes(queue)] == [50, 25, 16, 9]
    queue.put(job(500, quick))  # type: ignore[arg-type]
    assert [sum(rows) for _, rows in sizes(queue)][:2] == [64, 64]
    queue.put(job(40))
    assert [sum(rows) for _, rows in sizes(queue)] == [16, 16, 8]


def test_dropped_rows_are_not_taken() -> None:
    queue = Queue(100, 4)
    first, second = job(6), job(2)
    queue.put(first)
    queue.put(second)
    queue.take()
    queue.drop(first)
    assert queue.rows == 2
    assert sizes(queue) == [("a", [2])]
    queue.drop(first)
    queue.drop(second)
    assert queue.rows == 0


def test_a_closed_one_is_emptied_and_admits_nothing() -> None:
    queue = Queue(100, 4)
    queue.put(job(1))
    queue.close()
    assert not queue.put(job(1))
    assert queue.take() is not None
    assert queue.take() is None


def test_a_taker_is_woken() -> None:
    queue = Queue(100, 4)
    taken: list[object] = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    while not queue.takers:
        time.sleep(0.001)
    queue.put(job(1))
    thread.join(10)
    assert len(taken) == 1
    assert queue.takers == 0


class Clock:
    """Stands for the time that a queue and its jobs see: it goes on only while the queue waits."""

    def __init__(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.waits: list[float | None] = []
        for module in ("queue", "job"):
            monkeypatch.setattr(f"app.engine.{module}.time", SimpleNamespace(perf_counter=lambda: self.now))
        monkeypatch.setattr(queue._changed, "wait", self._wait)

    def _wait(self, seconds: float | None = None) -> None:
        self.waits.append(seconds)
        assert seconds is not None
        self.now += seconds


@pytest.mark.parametrize(("more", "waits"), [(1, [0.5]), (3, [])])
def test_a_delay_waits_for_a_full_batch_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, more: int, waits: list[float]
) -> None:
    queue = Queue(100, 4, delay=0.5)
    clock = Clock(queue, monkeypatch)
    for _ in range(1 + more):
        queue.put(job(1))
    batch = queue.take()
    assert [part.rows for part in batch or []] == [1] * (1 + more)
    assert clock.waits == waits


def test_a_full_batch_of_one_model_does_not_wait_for_another_s_delay() -> None:
    queue = Queue(100, 4, delay=30)
    queue.put(job(1, A))
    queue.put(job(4, B))
    batch = queue.take()
    assert [part.job.model for part in batch or []] == [B]


def test_each_model_waits_its_own_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(100, 4, delay=0.5)
    clock = Clock(queue, monkeypatch)
    queue.put(job(1, A))
    clock.now = 0.25
    queue.put(job(1, B))
    assert [[part.job.model for part in queue.take() or []] for _ in range(2)] == [[A], [B]]
    assert clock.waits == [0.25, 0.25]
