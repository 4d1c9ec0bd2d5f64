import os
from pathlib import Path

import pytest

from app.engine.memory_size import memory_size
from tests.app.engine.test_cpu_count import write

GIB = 2**30
NO_LIMIT_V1 = "9223372036854771712"  # what the first version says without a limit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of 16 GiB without control groups."""
    write(tmp_path / "proc/meminfo", "MemFree: 1 kB\nMemTotal:       16777216 kB\nSwapTotal: 0 kB\n")
    return tmp_path


def test_the_machine_where_there_is_no_container(root: Path) -> None:
    assert memory_size(root) == 16 * GIB


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max", 16 * GIB), (str(GIB), GIB), (str(99 * GIB), 16 * GIB), ("0", 16 * GIB), ("", 16 * GIB), ("?", 16 * GIB)],
)
def test_the_limit_of_a_container(root: Path, limit: str, expected: int) -> None:
    write(root / "proc/self/cgroup", "0::/\n")
    write(root / "sys/fs/cgroup/memory.max", limit + "\n")
    assert memory_size(root) == expected


@pytest.mark.parametrize(("own", "above", "expected"), [("max", 2, 2), (str(GIB), 2, 1), (str(3 * GIB), 2, 2)])
def test_the_lowest_limit_of_nested_groups(root: Path, own: str, above: int, expected: int) -> None:
    write(root / "proc/self/cgroup", "0::/kubepods/pod1/main\n")
    write(root / "sys/fs/cgroup/kubepods/pod1/main/memory.max", own + "\n")
    write(root / "sys/fs/cgroup/kubepods/memory.max", f"{above * GIB}\n")
    assert memory_size(root) == expected * GIB


def test_a_container_that_lacks_its_path_of_the_host(root: Path) -> None:
    write(root / "proc/self/cgroup", "0::/../../docker/0123\n")
    write(root / "sys/fs/cgroup/memory.max", f"{GIB}\n")
    assert memory_size(root) == GIB


@pytest.mark.parametrize(("limit", "expected"), [(NO_LIMIT_V1, 16), (str(4 * GIB), 4)])
def test_the_first_version_of_control_groups(root: Path, limit: str, expected: int) -> None:
    write(root / "proc/self/cgroup", "4:memory:/docker/1\n1:cpu,cpuacct:/x\n0::/\n")
    write(root / "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", limit + "\n")
    write(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", NO_LIMIT_V1 + "\n")
    assert memory_size(root) == expected * GIB


def test_a_group_without_files_leaves_the_machine(root: Path) -> None:
    write(root / "proc/self/cgroup", "4:memory:/docker/1\n0::/docker/1\n")
    assert memory_size(root) == 16 * GIB


def test_without_any_file_the_system_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert memory_size(tmp_path) == 4_096_000
    monkeypatch.delattr(os, "sysconf")
    assert memory_size(tmp_path) == 4 * GIB


def test_this_machine() -> None:
    assert memory_size() > 2**27
