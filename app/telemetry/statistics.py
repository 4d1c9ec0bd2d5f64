"""What a version has done since it was first asked, as the statistics extension of /v2 counts it."""

import time
from dataclasses import dataclass, field


@dataclass
class Duration:
    """How often something happened, and for how long in all, in seconds."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Counts it once more."""
        self.count += 1
        self.seconds += seconds


@dataclass
class Statistics:
    """Of one version of a model. Belongs to the event loop."""

    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    compute_input: Duration = field(default_factory=Duration)
    """From a request's head to an array: its body is received and read."""
    compute_infer: Duration = field(default_factory=Duration)
    """On the device: each request the whole time of its batches, as Triton counts it."""
    compute_output: Duration = field(default_factory=Duration)
    """From arrays to bytes."""
    rows: int = 0
    runs: int = 0
    """Batches."""
    last: float | None = None
    """When the last batch was done, in seconds since 1970."""
    batches: dict[int, Duration] = field(default_factory=dict)
    """By their rows, the time on the device."""

    def succeeded(self, seconds: float, reading: float, writing: float) -> None:
        """Counts a request that was answered."""
        self.success.count += 1
        self.success.seconds += seconds
        self.compute_input.count += 1
        self.compute_input.seconds += reading
        self.compute_output.count += 1
        self.compute_output.seconds += writing

    def ran(self, seconds: float, waited: float, times: int) -> None:
        """Counts a request's part of a batch, and, once for each request, how long it waited."""
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
