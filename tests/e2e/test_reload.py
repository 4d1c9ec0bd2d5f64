"""50 reloads under load."""

from pathlib import Path

import pytest

from tests.e2e.reloading import growth, reload, two_networks

TIMES, TIMES_LEAKING = 50, 12
MEGABYTES = 0.5
"""A reload; a model takes more."""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two_networks(tmp_path_factory.mktemp("networks"))


@pytest.mark.slow
def test_reloads_under_load_fail_no_request_and_leave_no_memory(two: Path, tmp_path: Path) -> None:
    answered, wrong, resident = reload(two, tmp_path / "repository", TIMES)
    assert wrong == []
    assert answered > 10 * TIMES
    assert abs(growth(resident)) < MEGABYTES, resident


@pytest.mark.slow
def test_a_leak_would_be_seen(two: Path, tmp_path: Path) -> None:
    _, wrong, resident = reload(two, tmp_path / "repository", TIMES_LEAKING, "tests.e2e.leaking_service")
    assert wrong == []
    assert growth(resident) > MEGABYTES, resident
