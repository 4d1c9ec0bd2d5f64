"""How much memory this process may really use: that of its container, or else of the machine."""

import os
from pathlib import Path

from app.engine.control_groups import groups

_UNKNOWN = 2**32  # bytes taken for granted where neither Linux nor POSIX says


def memory_size(root: Path = Path("/")) -> int:
    """The smallest of the machine's memory and the limits of the control groups, in bytes.

    Args:
        root: the folder that holds `proc` and `sys`.
    """
    limits = [group / "memory.max" for group in groups(root)]
    limits += [group / "memory.limit_in_bytes" for group in groups(root, "memory")]
    # without a limit, version 1 says a number above any machine's memory, and version 2 says `max`
    return min([_machine(root), *(size for path in limits if (size := _read(path)) is not None)])


def _read(path: Path) -> int | None:
    """The bytes in a file; None if it is missing, says `max`, or is 0, with which nothing could run."""
    try:
        return int(path.read_text()) or None
    except (OSError, ValueError):
        return None


def _machine(root: Path) -> int:
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, size = line.partition(":")
            if name == "MemTotal":
                return int(size.split()[0]) * 1024  # `kB` means KiB
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has none of it
        return _UNKNOWN
