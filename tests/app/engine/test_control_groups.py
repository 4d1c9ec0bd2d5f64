from pathlib import Path

import pytest

from app.engine.control_groups import groups

LINES = "4:memory:/docker/a/b\n3:cpuset:/\n1:cpu,cpuacct:/docker/a\n0::/user.slice\n"


def names(root: Path, controller: str = "") -> list[str]:
    return [str(path.relative_to(root / "sys/fs/cgroup")) for path in groups(root, controller)]


@pytest.mark.parametrize(
    ("controller", "expected"),
    [
        ("", ["user.slice", "."]),
        ("memory", ["memory/docker/a/b", "memory/docker/a", "memory/docker", "memory"]),
        ("cpu", ["cpu/docker/a", "cpu/docker", "cpu"]),
        ("pids", []),
    ],
)
def test_a_group_and_those_above_it(tmp_path: Path, controller: str, expected: list[str]) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(LINES)
    assert names(tmp_path, controller) == expected


def test_none_where_there_are_no_control_groups(tmp_path: Path) -> None:
    assert groups(tmp_path) == groups(tmp_path, "cpu") == []
