"""What shows that a file changed, without reading it; and since when it has been as it is.

Time and size are not enough. Images and archives give all files one time, a link may be re-pointed to a file of the
same time and size, and some file systems tell time in steps of two seconds.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

COARSE_SECONDS = 2.0
"""The longest step of a file system's clock (FAT; NFS and HFS+ have 1 s): two writes within it may leave one stamp."""
_CLOCKS_DIFFER = 60.0  # seconds, between this machine and a file server, at most

VersionKey = tuple[str, int]
"""Name of a model and number of a version."""


class FileStamp(NamedTuple):
    """Changes when the file is touched, replaced, or reached through a link that is re-pointed; times in ns."""

    name: str
    device: int = 0
    inode: int = 0
    size: int = 0
    modified: int = 0
    changed: int = 0
    """Of contents or permissions; unlike `modified` no program can set it back."""
    there: bool = False
    """False for a file that does not exist: a stamp too, so that a rejection holds until the file comes."""

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """The stamp of a file, which need not exist.

        Raises:
            OSError: nobody can say now whether it exists, or it is reached through a link that leads nowhere.
        """
        try:
            status = path.stat()
        except FileNotFoundError:
            path.parent.stat()
            if path.is_symlink():
                raise
            return cls(path.name)
        return cls(
            path.name,
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
            there=True,
        )

    def has_grown(self, before: "FileStamp") -> bool:
        """Whether it may have been written to since; the inode does not count: some mounts give another every time."""
        return (self.there, self.size, self.modified) != (before.there, before.size, before.modified)

    @property
    def age(self) -> float:
        """Seconds for which it certainly has not changed, whatever the clock of the file server."""
        return max(0.0, (time.time_ns() - max(self.modified, self.changed)) / 1e9 - _CLOCKS_DIFFER)


Stamp = tuple[FileStamp, ...]
"""The stamps of a version's files, the portable one first."""


@dataclass(frozen=True)
class Sighting:
    """A file as it was seen.

    Args:
        since: when it was first seen like that, on the monotonic clock.
        settled: whether it had not grown since the look before.
    """

    stamp: FileStamp
    since: float
    settled: bool


class Sightings:
    """Remembers how files looked. For one thread at a time."""

    def __init__(self) -> None:
        self._seen: dict[VersionKey, dict[str, Sighting]] = {}

    def look(self, key: VersionKey, stamps: Iterable[FileStamp]) -> list[Sighting]:
        """Takes note of the files of a version."""
        before = self._seen.get(key, {})
        found = [_sighting(stamp, before.get(stamp.name)) for stamp in stamps]
        self._seen[key] = {sighting.stamp.name: sighting for sighting in found}
        return found

    def keep_only(self, is_wanted: Callable[[VersionKey], bool]) -> None:
        """Forgets all other versions."""
        self._seen = {key: files for key, files in self._seen.items() if is_wanted(key)}


def _sighting(stamp: FileStamp, before: Sighting | None) -> Sighting:
    if before is not None and before.stamp == stamp:
        return Sighting(stamp, before.since, settled=True)
    since = time.monotonic() - stamp.age
    return Sighting(stamp, since, settled=before is not None and not stamp.has_grown(before.stamp))
