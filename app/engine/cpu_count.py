"""How many cores this process may really use. onnxruntime asks the host and ignores a container's CPU quota."""

import math
import os
from pathlib import Path

from app.engine.control_groups import groups


def cpu_count(root: Path = Path("/"), *, sharing: int = 1) -> int:
    """The smallest of CPU affinity, physical cores within it, and the quota of the control groups; at least 1.

    Args:
        root: the folder that holds `proc` and `sys`.
        sharing: how many processes divide them among themselves.
    """
    allowed = _affinity()
    cores = _physical(root, allowed) or len(allowed)
    quota = min((*_quotas_v2(root), *_quotas_v1(root)), default=math.inf)
    # rounded down: a thread beyond the quota stalls all of them
    return max(1, math.floor(min(cores, quota)) // sharing)


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _physical(root: Path, allowed: set[int]) -> int:
    """Physical cores among the allowed processors; hyper-threads count once. 0 if the system does not say."""
    found: set[tuple[str, str]] = set()
    for cpu in allowed:
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        try:
            found.add(((topology / "physical_package_id").read_text(), (topology / "core_id").read_text()))
        except OSError:
            return 0
    return len(found)


def _quotas_v2(root: Path) -> list[float]:
    quotas = []
    for group in groups(root):
        try:
            quota, period = (group / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            quotas.append(int(quota) / int(period))
    return quotas


def _quotas_v1(root: Path) -> list[float]:
    quotas = []
    for group in groups(root, "cpu"):
        try:
            quota = int((group / "cpu.cfs_quota_us").read_text())
            period = int((group / "cpu.cfs_period_us").read_text())
        except (OSError, ValueError):
            continue
        if quota > 0 and period > 0:  # −1 is no limit
            quotas.append(quota / period)
    return quotas
