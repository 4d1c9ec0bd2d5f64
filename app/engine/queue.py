"""The rows that wait for a device: bounded, fair between models, and batched when a device asks for work."""

import threading
import time
from collections import OrderedDict

from app.engine.bare_model import Servable
from app.engine.job import Job, Slice


class Queue:
    """Filled by the event loop, emptied by the devices' threads.

    A batch holds rows of one model and of one size, but for axes that are padded; for a model that is not batchable, a
    single request. Models take
    turns. Within a model, the request that came first is always in the next batch, with those of its size behind it;
    one that does not fit what is left of a batch goes in parts.

    Args:
        most_rows: most rows that may wait. An empty queue admits a larger request, too.
        most_batch: the largest batch, in rows.
        enough: rows that use a device well; the largest batch by default. A quick model gets more when more than twice
            as many wait: half of them, so that the device runs the other half while the first is answered. For other
            models a larger batch would only cost memory and time.
        delay: how many seconds a batch that is not full waits for more rows; 0 takes what is there.
    """

    def __init__(self, most_rows: int, most_batch: int, delay: float = 0.0, enough: int | None = None) -> None:
        self.most_rows = most_rows
        self._most_batch = most_batch
        self._enough = enough or most_batch
        self.delay = delay
        self._waiting: OrderedDict[Servable, OrderedDict[Job, None]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self.rows = 0
        """Number of rows that wait."""
        self.takers = 0
        """Number of devices that wait for rows."""

    @property
    def full(self) -> bool:
        """Whether the queue would reject even one more row."""
        return self.rows >= self.most_rows

    @property
    def closed(self) -> bool:
        """Whether it admits nothing more, however few rows wait."""
        return self._closed

    def put(self, job: Job) -> bool:
        """Adds a job unless too many rows would wait or the queue is closed; returns whether it did."""
        with self._changed:
            # an empty queue takes any size, or a request above the limit could never be served
            if self._closed or (self.rows and self.rows + job.rows > self.most_rows):
                return False
            self.rows += job.rows
            self._waiting.setdefault(job.model, OrderedDict())[job] = None
            self._changed.notify()
            return True

    def drop(self, job: Job) -> None:
        """Removes the rows of a job that no device has taken yet."""
        with self._changed:
            jobs = self._waiting.get(job.model)
            if jobs is None or job not in jobs:  # a device took the rest meanwhile
                return
            del jobs[job]
            self.rows -= job.rows - job.taken
            if not jobs:
                del self._waiting[job.model]

    def take(self) -> list[Slice] | None:
        """Waits for the next batch; None when the queue is closed and empty."""
        with self._changed:
            while True:
                soonest: float | None = None
                for model, jobs in self._waiting.items():  # in turn; a full batch does not wait for another's delay
                    early = self._early(model, jobs)
                    if early <= 0:
                        return self._fill(model, jobs)
                    soonest = early if soonest is None else min(soonest, early)
                if self._closed:
                    return None
                self.takers += 1
                self._changed.wait(soonest)  # then check again: another device may have been quicker
                self.takers -= 1

    def close(self) -> None:
        """Admits nothing more; devices still take what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def empty(self) -> list[Job]:
        """Removes and returns all jobs that wait, for a caller that has no device left."""
        with self._changed:
            jobs = [job for jobs in self._waiting.values() for job in jobs]
            self._waiting.clear()
            self.rows = 0
            return jobs

    def _early(self, model: Servable, jobs: OrderedDict[Job, None]) -> float:
        """How many seconds a batch should still wait for more rows."""
        if not self.delay or self._closed:
            return 0.0
        first = next(iter(jobs))
        waiting = sum(job.rows - job.taken for job in jobs if job.sizes == first.sizes)
        if waiting >= _most_rows(model, first.row_values, self._most_batch):
            return 0.0
        return first.submitted + self.delay - time.perf_counter()

    def _fill(self, model: Servable, jobs: OrderedDict[Job, None]) -> list[Slice]:
        batch: list[Slice] = []
        more = self.rows // 2 if model.inline_max_rows else 0
        room = min(self._most_batch, max(self._enough, more)) if model.batchable else 1
        first = next(iter(jobs))
        longest = size_of_batch = 0
        for job in jobs:
            if job.sizes != first.sizes:  # only where a model has free axes
                continue
            longest = max(longest, job.row_values)  # all others are padded to it
            size = min(_most_rows(model, longest, room) - size_of_batch, job.rows - job.taken)
            if size <= 0:
                break
            batch.append(Slice(job, job.taken, job.taken + size))
            job.taken += size
            size_of_batch += size
        for part in batch:
            if part.job.taken == part.job.rows:
                del jobs[part.job]
        self.rows -= size_of_batch
        if jobs:
            self._waiting.move_to_end(model)
            self._changed.notify()  # one put wakes one device, and rows are left for another
        else:
            del self._waiting[model]
        return batch


def _most_rows(model: Servable, row_values: int, most: int) -> int:
    """Most rows of a batch: fewer where they are so large that their values are what bounds it."""
    return most if model.most_values is None else min(most, max(1, model.most_values // row_values))
