from pathlib import Path

import pytest

from app.engine import cpu_count as module
from app.engine.cpu_count import cpu_count


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of 8 processors in which nothing else is said."""
    monkeypatch.setattr(module, "_affinity", lambda: set(range(8)))
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def two_threads_a_core(root: Path) -> None:
    for cpu in range(8):
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        write(topology / "physical_package_id", "0\n")
        write(topology / "core_id", f"{cpu // 2}\n")


def test_affinity_where_nothing_else_is_known(root: Path) -> None:
    assert cpu_count(root) == 8


def test_two_threads_of_a_core_count_once(root: Path) -> None:
    two_threads_a_core(root)
    assert cpu_count(root) == 4


@pytest.mark.parametrize(
    ("limit", "expected"), [("max 100000", 8), ("300000 100000", 3), ("150000 100000", 1), ("50000 100000", 1)]
)
def test_the_quota_of_a_container(root: Path, limit: str, expected: int) -> None:
    write(root / "proc/self/cgroup", "0::/\n")
    write(root / "sys/fs/cgroup/cpu.max", limit + "\n")
    assert cpu_count(root) == expected


def test_the_quota_of_a_group_above(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/kubepods/pod1\n")
    write(root / "sys/fs/cgroup/kubepods/cpu.max", "200000 100000\n")
    write(root / "sys/fs/cgroup/kubepods/pod1/cpu.max", "max 100000\n")
    assert cpu_count(root) == 2


@pytest.mark.parametrize(("quota", "expected"), [("-1", 8), ("400000", 4)])
def test_the_first_version_of_control_groups(root: Path, quota: str, expected: int) -> None:
    write(root / "proc/self/cgroup", "4:memory:/x\n1:cpu,cpuacct:/docker/1\n0::/\n")
    write(root / "sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", quota + "\n")
    write(root / "sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n")
    assert cpu_count(root) == expected


def test_this_machine() -> None:
    assert cpu_count() >= 1
