"""The board: what one process notes, another reads."""

import subprocess
import sys
from pathlib import Path

from app.workers.board import Board
from tests.serving import ROOT


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_all_have_to_be_ready(tmp_path: Path) -> None:
    clock = Clock()
    board = Board(tmp_path / "board", 2, clock)
    assert board.missing() == "worker 1 of 2 is starting"
    board.note(0, True)
    assert board.missing() == "worker 2 of 2 is starting"
    board.note(1, False)
    assert board.missing() == "worker 2 of 2 is not ready"
    board.note(1, True)
    assert board.missing() is None
    clock.now += 6
    board.note(1, True)
    assert board.missing() == "worker 1 of 2 does not answer"


def test_who_is_there_and_for_how_long_silent(tmp_path: Path) -> None:
    clock = Clock()
    board = Board(tmp_path / "board", 2, clock)
    assert not board.is_there(1)
    assert board.silent_for(1) == 0
    for ready in (True, False):
        board.note(1, ready)
        clock.now += 3
        assert board.is_there(1)
        assert board.silent_for(1) == 3
    board.remove(1)
    assert not board.is_there(1)


def test_processes_see_one_board(tmp_path: Path) -> None:
    file = tmp_path / "board"
    board = Board(file, 2)
    board.note(1, True)
    code = f"from pathlib import Path; from app.workers.board import Board; Board(Path({str(file)!r}), 2).note(0, True)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert board.missing() is None
