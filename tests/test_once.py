"""What is shared by workers is made once, however many ask for it at the same time."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.once import Once
from tests.serving import ROOT


def test_what_failed_is_made_anew(tmp_path: Path) -> None:
    once = Once(tmp_path)

    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise ValueError("no more room")

    with pytest.raises(ValueError, match="no more room"):
        once("thing", fail)
    made = once("thing", lambda folder: (folder / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]


def test_those_who_ask_at_the_same_time_share_one(tmp_path: Path) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.05)  # long enough for the others to ask

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: Once(tmp_path)("thing", make), range(4)))
    assert len(made) == 1
    assert found == [found[0]] * 4


def test_names_are_kept_apart(tmp_path: Path) -> None:
    once = Once(tmp_path)
    for name in ("one", "other"):
        folder = once(name, lambda folder, name=name: (folder / name).touch())  # type: ignore[misc]
        assert [path.name for path in folder.iterdir()] == [name]


def test_workers_of_one_run_share_it_and_those_of_the_next_do_not(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(f"""
from pathlib import Path

from tests.once import Once

def make(folder):
    with Path({str(tmp_path / "made")!r}).open("a") as log:
        log.write("made\\n")

def test_it(pytestconfig, tmp_path_factory):
    Once.of_run(pytestconfig, tmp_path_factory)("thing", make)
""")
    options = ["-q", "-p", "xdist", "-p", "no:cacheprovider", "-n", "2", "--dist", "each", "-o", f"pythonpath={ROOT}"]
    plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # some take seconds to import
    for run in (1, 2):
        command = [sys.executable, "-m", "pytest", *options, f"--basetemp={tmp_path / str(run)}", "test_it.py"]
        found = subprocess.run(command, cwd=tmp_path, env=plain, capture_output=True, text=True, check=False)
        assert found.returncode == 0, found.stdout + found.stderr
        assert "2 passed" in found.stdout
        assert (tmp_path / "made").read_text() == "made\n" * run
