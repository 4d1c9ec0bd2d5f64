"""Counts and times of a version since its first request, as the statistics extension of /v2 defines them."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Duration:
    """How often something happened, and its total time in seconds."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts one more."""
        self.count += 1
        self.seconds += seconds

    def join(self, other: "Duration") -> None:
        """Adds what was counted elsewhere."""
        self.count += other.count
        self.seconds += other.seconds


@dataclass
class Statistics:
    """The statistics of one version of a model. Used from the event loop only."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    """From a request's head to an array: receiving and reading its body."""
    compute_infer: Duration = field(default_factory=Duration)
    """On the device: each request counts the whole time of its batches, as in Triton."""
    compute_output: Duration = field(default_factory=Duration)
    """From arrays to bytes."""
    rows: int = 0
    runs: int = 0
    """Number of batches."""
    last: float | None = None
    """When the last batch ended, in seconds since 1970."""
    batches: dict[int, Duration] = field(default_factory=dict)
    """Time on the device, by number of rows."""

    def succeeded(self, seconds: float, reading: float, writing: float) -> None:
        """Counts a request that was answered."""
        self.success.count += 1
        self.success.seconds += seconds
        self.compute_input.count += 1
        self.compute_input.seconds += reading
        self.compute_output.count += 1
        self.compute_output.seconds += writing

    def ran(self, seconds: float, waited: float, times: int) -> None:
        """Counts a request's part of a batch and, once per request, how long it waited."""
        self.compute_infer.count += times
        self.compute_infer.seconds += seconds
        self.queue.count += times
        self.queue.seconds += times * waited

    def computed(self, rows: int, seconds: float) -> None:
        """Counts a batch."""
        self.rows += rows
        self.runs += 1
        self.last = time.time()
        batch = self.batches.get(rows)
        if batch is None:
            batch = self.batches[rows] = Duration()
        batch.add(seconds)

    def join(self, other: "Statistics") -> None:
        """Adds what was counted elsewhere."""
        for name in _DURATIONS:
            getattr(self, name).join(getattr(other, name))
        self.rows += other.rows
        self.runs += other.runs
        self.last = max((last for last in (self.last, other.last) if last is not None), default=None)
        for rows, batch in other.batches.items():
            self.batches.setdefault(rows, Duration()).join(batch)


_DURATIONS = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


def total(found: Iterable[dict[str, Statistics]]) -> dict[str, Statistics]:
    """The statistics of several processes together, by whatever names them."""
    together: dict[str, Statistics] = {}
    for of_one in found:
        for name, statistics in of_one.items():
            together.setdefault(name, Statistics()).join(statistics)
    return together
