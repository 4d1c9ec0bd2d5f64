"""Where Linux keeps the limits of a container: the folders of this process's control groups."""

from pathlib import Path


def groups(root: Path, controller: str = "") -> list[Path]:
    """The folders of this process's control group and its parents, as a container or as the host sees them.

    Args:
        root: the folder that holds `proc` and `sys`.
        controller: `cpu` or `memory` in version 1; none for version 2, which has one folder for all of them.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, names, path = line.split(":", 2)
        if controller in names.split(","):  # version 2 has one line, without names
            base = root / "sys/fs/cgroup" / controller
            own = base / path.lstrip("/")
            # the parents too: each may set a lower limit, and a container may lack the host's path
            return [own, *(parent for parent in own.parents if parent.is_relative_to(base))]
    return []
