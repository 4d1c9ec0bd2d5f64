"""What is seen of a step that takes long, on a terminal and elsewhere."""

import os
import pty
import subprocess
import sys
import termios
import threading
import time

import pytest

from models import progress
from tests.serving import ROOT

PROGRAM = """
import logging, sys, time
from models import progress
from models.__main__ import logging_redirect_tqdm
progress._AFTER, progress._EVERY, progress._AGAIN = 0.1, 0.05, 0.3
logging.basicConfig(format="%(message)s", stream=sys.stdout, level="INFO")
with logging_redirect_tqdm():
    with progress.step("quick"):
        pass
    with progress.step("evaluate"):
        time.sleep(0.3)
        progress.count(256, 1000)
        with progress.step("inside"):
            time.sleep(0.5)
        logging.info("found")
print("end")
"""
COMMAND = [sys.executable, "-c", PROGRAM]


def test_without_a_terminal_there_are_a_few_plain_lines() -> None:
    found = subprocess.run(COMMAND, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stderr == ""
    lines = found.stdout.splitlines()
    assert lines[0] == "evaluate …"
    assert set(lines[1:-2]) == {"evaluate: 256 of 1000 rows"}
    assert lines[-2:] == ["found", "end"]


def test_on_a_terminal_it_goes_away_and_cuts_through_no_line() -> None:
    leader, follower = pty.openpty()
    termios.tcsetwinsize(follower, (24, 80))  # without a width nothing is drawn
    with subprocess.Popen(COMMAND, cwd=ROOT, stdout=follower, stderr=follower) as process:
        os.close(follower)
        found = b""
        while True:
            try:
                found += (read := os.read(leader, 4096))
            except OSError:  # the other end is closed
                break
            if not read:
                break
    os.close(leader)
    assert process.returncode == 0
    text = found.decode()
    assert "evaluate: 256 of 1000 rows [00:00]" in text
    assert "quick" not in text
    assert "inside" not in text
    shown = [line.rpartition("\r")[2].strip() for line in text.replace("\r\n", "\n").split("\n")]
    assert [line for line in shown if line] == ["found", "end"]


def test_nothing_is_shown_where_the_log_is_off(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_AFTER", 0.0)
    caplog.set_level("WARNING", "models")  # commands of other tests have turned it on
    before = threading.active_count()
    with progress.step("trace"):
        assert threading.active_count() == before
        time.sleep(0.05)
    assert capfd.readouterr() == ("", "")


def test_a_step_that_fails_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "models")
    with pytest.raises(ValueError, match="wrong"), progress.step("trace"):
        raise ValueError("wrong")
    with progress.step("compile") as found:
        progress.count(3, 4)
    assert (found.done, found.total) == (3, 4)
    progress.count(5, 6)  # of nothing
    assert (found.done, found.total) == (3, 4)
