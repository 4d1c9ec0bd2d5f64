"""What a process takes over time: memory, descriptors and threads, and whether they grow."""

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.peak import memory

FIELDS = ("megabytes", "descriptors", "threads")
_WARM_UP = 1 / 3  # of the samples; pools and caches fill meanwhile
_ENOUGH = 10  # samples after it, to tell growth from chance


@dataclass(frozen=True)
class Sample:
    """At one moment, in seconds since the series began."""

    seconds: float
    megabytes: float
    """Resident."""
    descriptors: int
    threads: int


@dataclass
class Series:
    """Samples of one process; taken when no client is connected, or the descriptors would be those of the clients."""

    process: int
    samples: list[Sample] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def take(self) -> Sample:
        """Takes a sample."""
        folder = Path(f"/proc/{self.process}")
        descriptors, threads = (len(list((folder / name).iterdir())) for name in ("fd", "task"))
        seconds = round(time.monotonic() - self.began, 1)
        self.samples.append(Sample(seconds, round(memory("VmRSS", self.process), 1), descriptors, threads))
        return self.samples[-1]

    def exceeded(self, limits: dict[str, float]) -> list[str]:
        """What grows by more than it may, in words; nothing as long as there are too few samples."""
        if len(self._later()) < _ENOUGH:
            return []
        return [f"{name} grew by {by:g} after the warm-up" for name, by in self.growth().items() if by > limits[name]]

    def growth(self) -> dict[str, float]:
        """How much each field grows from the end of the warm-up to the last sample, by its slope."""
        later = self._later()
        if len(later) < 2:
            return dict.fromkeys(FIELDS, 0.0)
        at = [sample.seconds for sample in later]
        return {
            name: round(slope(at, [getattr(sample, name) for sample in later]) * (at[-1] - at[0]), 2) for name in FIELDS
        }

    def summary(self) -> dict[str, Any]:
        """The samples and their growth, for a record."""
        return {"samples": [asdict(sample) for sample in self.samples], "growth": self.growth()}

    def _later(self) -> list[Sample]:
        return self.samples[int(len(self.samples) * _WARM_UP) :]


def slope(at: list[float], values: list[float]) -> float:
    """The slope by Theil and Sen: the median over all pairs, which a few outliers do not move."""
    x, y = np.array(at), np.array(values)
    first, second = np.triu_indices(len(x), k=1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))
