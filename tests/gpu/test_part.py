"""A part of a session that fails or hangs costs nobody else anything."""

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from tests.gpu import part, session
from tests.gpu.card_memory import CardMemory
from tests.gpu.part import Part

GOOD = Part("good", 30, ("platform",))
FAILING = Part("failing", 30, ("json.tool", "no-such-file"))
HANGING = Part("hanging", 0.5, ("http.server", "0", "--bind", "127.0.0.1"))


@pytest.mark.parametrize(("which", "state"), [(GOOD, "passed"), (FAILING, "failed"), (HANGING, "timed out")])
def test_what_becomes_of_a_part(which: Part, state: str, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    began = time.monotonic()
    which.run(tmp_path / "log", seen.append)
    assert time.monotonic() - began < 20
    assert seen[-1]["state"] == state
    if which is FAILING:
        assert "no-such-file" in seen[-1]["tail"]
    assert (tmp_path / "log").read_text().startswith(f"== {which.name}\n")


def test_figures_are_seen_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "writing.py").write_text(
        "import sys, time\nfrom pathlib import Path\nPath(sys.argv[1]).write_text('{\"first\": 1}')\ntime.sleep(600)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    seen: list[dict[str, Any]] = []
    Part("writing", 3, ("writing", "FIGURES")).run(tmp_path / "log", seen.append)
    assert (seen[-1]["state"], seen[-1]["figures"]) == ("timed out", {"first": 1})


def test_the_session_goes_on_and_says_that_not_all_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LEAST", 0.0)
    monkeypatch.setattr(session, "_TO_END", 0.0)
    assert not session.run([HANGING, FAILING, GOOD], 60, tmp_path, {"device": "cpu"})
    told = json.loads((tmp_path / "session.json").read_text())
    assert {name: each["state"] for name, each in told["parts"].items()} == {
        "hanging": "timed out",
        "failing": "failed",
        "good": "passed",
    }
    assert (told["complete"], told["passed"], told["device"]) == (True, False, "cpu")
    assert session.run([GOOD], 60, tmp_path, {})


def test_without_time_a_part_is_not_begun(tmp_path: Path) -> None:
    assert not session.run([GOOD], 5, tmp_path, {})
    told = json.loads((tmp_path / "session.json").read_text())
    assert told["parts"]["good"] == {"state": "no time left"}


def test_all_parts_but_the_last_two_fit_even_if_every_one_takes_all_its_time() -> None:
    *sure, resnet, small = session.parts("cuda", Path("exports"))
    assert (resnet.name, small.name) == ("bench resnet50", "bench fashion-mnist")
    ending = part._TO_TELL + part._TO_DIE
    assert sum(each.seconds + ending for each in sure) + 60 <= 510


def test_the_most_memory_since_a_part_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 10; echo 70; echo '[N/A]'; echo 30; exec sleep 60\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with CardMemory() as memory:
        until = time.monotonic() + 20
        while memory.most != 70 and time.monotonic() < until:
            time.sleep(0.01)
        assert memory.most == 70
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with CardMemory() as memory:
        assert memory.most is None
