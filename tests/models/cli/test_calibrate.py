"""`calibrate --feedback` of a model with two heads, within this process."""

import re
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from models import artefact
from models.__main__ import main
from tests import artefacts
from tests.models.data.test_field import answer, fill, truth
from tests.models.evaluation.test_recalibration import drawn
from tests.models.evaluation.two_heads import two_heads


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    artefacts.write(tmp_path / "repository", "both", *two_heads())
    return tmp_path / "repository"


def database(folder: Path, rows: int, temperature: float, returned: int | None = None, version: int = 1) -> str:
    """One with rows of `action` that ask for a temperature, of which the last have no truth; and two of `steering`."""
    found = drawn(rows, temperature)
    returned = rows if returned is None else returned
    answered = [answer(at, "action", one, version=version) for at, one in enumerate(found.outputs["logits"])]
    answered += [answer(rows + at, "steering", np.ones((2, 2, 2), "<f4"), version=version) for at in range(2)]
    true = [truth(at, int(label)) for at, label in enumerate(found.labels[:returned])]
    return fill(folder / "field.db", answered, [*true, truth(rows, 1, 2)])


def run(repository: Path, url: str, *more: str, version: int = 1) -> int:
    return main(["calibrate", f"both:{version}", "--feedback", url, "--repository", str(repository), *more])


def test_a_head_with_truths_is_calibrated_in_a_new_version(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(repository, database(tmp_path, 1200, 2.0), "--policy", "defer action.entropy>c90") == 0
    told = capsys.readouterr().out.splitlines()
    figures = r"action: 400 rows kept aside: NLL \d\.\d{4} before, \d\.\d{4} now; broken promises: 0 of 0 before, 0 of "
    assert re.match(figures, told[0])
    assert told[1].startswith("steering: keeps its calibration: calibration: 1 rows have a truth, and 300 are needed")
    assert told[2].startswith("action: 800 rows of feedback: temperature ")
    assert told[3] == f"wrote: {repository}/both/2/model.onnx"
    model, contract, version = artefact.read(repository, "both")
    action, steering = contract.heads
    assert (version, contract.origin.recalibrated_from) == (2, 1)
    assert action.calibration is not None
    assert action.evaluation is not None
    assert (action.calibration.temperature, action.evaluation.rows) == (pytest.approx(2, rel=0.1), 400)
    held = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    assert held["action.temperature"] == np.float32(action.calibration.temperature)
    assert [rule.score for rule in action.policy.rules] == ["entropy"]
    assert (steering.calibration, steering.evaluation) == (None, None)
    before, _ = artefacts.read(repository, "both", 1)
    old = {one.name: onnx.numpy_helper.to_array(one) for one in before.graph.initializer}
    assert held["steering.temperature"] == old["steering.temperature"]


def test_no_better_means_no_version(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "first").mkdir()
    assert run(repository, database(tmp_path / "first", 3000, 2.0), "--policy", "none") == 0
    assert run(repository, database(tmp_path, 900, 2.0, version=2), "--policy", "none", version=2) == 1
    error = capsys.readouterr().err
    assert "no version is written: the new calibration is no better: 300 rows kept aside: NLL 0." in error
    assert error.count("before") == error.count("now") == 2
    assert artefact.read(repository, "both")[2] == 2


def test_too_few_truths_mean_no_version(repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(repository, database(tmp_path, 900, 2.0, returned=250), "--policy", "none") == 1
    assert "250 rows have a truth, and 300 are needed" in capsys.readouterr().err
    assert run(repository, str(tmp_path / "other.db"), "--policy", "none") == 1
    assert "other.db: no such file" in capsys.readouterr().err


def test_rows_come_from_one_place(repository: Path) -> None:
    with pytest.raises(SystemExit):
        run(repository, "a.db", "--data", "rows.npz")


def test_without_sqlalchemy_it_says_which_extra(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "models.data.field", None)
    assert run(repository, "a.db", "--policy", "none") == 1
    assert "install the extra feedback" in capsys.readouterr().err
