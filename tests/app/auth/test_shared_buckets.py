"""Token buckets that several processes share."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.auth import shared_buckets as module
from app.auth.shared_buckets import SharedBuckets
from tests.serving import ROOT

TAKE = """
import sys
from pathlib import Path
from app.auth.shared_buckets import SharedBuckets
buckets = SharedBuckets(Path(sys.argv[1]))
print(sum(buckets.take("a", 1000, 50.0) == 0 for _ in range(900)))
"""


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
time.sleep(60)
"""


def test_together_they_give_no_more_than_one_would(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKE, str(tmp_path / "rates")]
    running = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in running) == 1000


def test_a_process_that_dies_keeps_nobody_waiting(tmp_path: Path) -> None:
    buckets = SharedBuckets(tmp_path / "rates")
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "rates")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    began = time.monotonic()
    assert buckets.take("a", 1, 1.0) == 0
    assert time.monotonic() - began < 30
    holder.communicate()


def test_with_too_many_names_the_one_asked_longest_ago_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SLOTS", 2)
    one, other = (SharedBuckets(tmp_path / "rates") for _ in range(2))
    assert one.take("a", 1, 1.0) == 0
    assert one.take("b", 1, 1.1) == 0
    assert other.take("c", 1, 1.2) == 0  # in a's place
    assert one.take("b", 1, 1.2) > 0
    assert one.take("a", 1, 1.3) == 0  # in c's: b was asked later
    assert one.take("b", 1, 1.3) > 0
    assert other.take("c", 1, 1.4) == 0
