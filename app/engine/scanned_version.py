"""A version of a model as it lies in the repository, before and after its files are verified."""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from app.contract import schema
from app.contract.signature import Signature
from app.engine.stamp import Stamp, VersionKey


@dataclass(frozen=True)
class ScannedVersion:
    """A verified version: fit to be loaded, or rejected with a reason."""

    name: str
    number: int
    stamp: Stamp
    """Changes when any of its files is touched."""
    rejected: str | None = None
    path: Path = Path()
    """The file to load: the plan for the device, if any."""
    declared: schema.Contract | Signature | None = None
    digests: tuple[str, ...] = ()
    """SHA-256 of the portable file and of the plan, if that is the one to load."""
    portable: "ScannedVersion | None" = None
    """The same without the plan."""
    remark: str | None = None
    """Why the plan that lies there is not the one to load."""
    unreadable: bool = False
    """Whether it is rejected only because it could not be read."""
    again_at: float = field(default=math.inf, compare=False)
    """When its files are to be verified again though their stamp is the same, on the monotonic clock."""
    delay: float = field(default=0.0, compare=False)
    """Seconds between the last two times that it could not be read."""

    @property
    def key(self) -> VersionKey:
        """Identifies the version."""
        return self.name, self.number

    def without_plan(self, reason: str) -> "ScannedVersion":
        """The version for which the reason was found not to use its plan; itself if it has none."""
        return self if self.portable is None else replace(self.portable, remark=f"{self.path.name}: {reason}")


@dataclass(frozen=True)
class UnverifiedVersion:
    """A version whose files are new, changed since they were verified, or worth another look; the portable one first.

    Args:
        since: when the last of the files was first seen as it is, on the monotonic clock.
    """

    name: str
    number: int
    stamp: Stamp
    paths: tuple[Path, ...]
    since: float

    @property
    def key(self) -> VersionKey:
        """Identifies the version."""
        return self.name, self.number

    @property
    def size(self) -> int:
        """Size of all its files, in bytes."""
        return sum(file.size for file in self.stamp)
