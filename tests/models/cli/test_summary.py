"""What an export ends with, of shipped models and of one without a calibration."""

from pathlib import Path

import numpy as np
import pytest

from app.contract.repository import list_versions
from models import artefact
from models.cli.summary import summarise
from tests.serving import ROOT, VERSIONS

SHIPPED = ROOT / "models" / "repository"
VERSION = VERSIONS["fashion-mnist"]


def printed(name: str, capsys: pytest.CaptureFixture[str], repository: Path = SHIPPED) -> list[str]:
    summarise(repository, name, list_versions(repository, name)[0], {})
    return capsys.readouterr().out.splitlines()


def test_it_tells_figures_thresholds_policy_plans_and_where_to_post(capsys: pytest.CaptureFixture[str]) -> None:
    empty, first, figures, *thresholds, policy, folded, branches, _, serve, ask, picture = printed(
        "fashion-mnist", capsys
    )
    assert (empty, first) == ("", f"fashion-mnist:{VERSION}, masksembles, N = 4")
    assert figures.startswith("fashion-mnist, 10000 test rows: accuracy 0.9")
    assert [line.partition(":")[0] for line in thresholds] == ["thresholds of entropy", "thresholds of energy"]
    contract = artefact.read(SHIPPED, "fashion-mnist")[1]
    assert contract.head.calibration is not None
    assert contract.head.policy is not None
    (risk,) = (
        one
        for one in contract.head.calibration.thresholds
        if (one.score, one.guarantee, one.target) == ("entropy", "risk", 0.05)
    )
    assert f", r5 {risk.value:.4g} (accepts {100 * risk.coverage:.0f} %)" in thresholds[0]
    reject, defer = contract.head.policy.rules
    assert policy == f"policy: reject energy>{reject.threshold:.4g}, defer entropy>{defer.threshold:.4g}"
    assert f"{SHIPPED / 'fashion-mnist' / str(VERSION) / 'model.onnx'} (0.99 MB), folded, " in folded
    assert folded.endswith(" dense passes")
    assert "model.cpu.onnx (1.00 MB), branches, " in branches
    assert branches.endswith(" times fewer multiply-accumulates than folded")
    assert serve == "serve it: make serve"
    assert ask.startswith("ask it:   python3 -c ")
    assert picture.startswith("or:       curl 'http://127.0.0.1:8000/predict?model=fashion-mnist'")


def test_a_model_without_calibration_and_elsewhere(tiny_repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed("tiny", capsys, tiny_repository)
    assert "no calibration: there are no thresholds, sets or intervals" in lines
    assert "no policy: every answer is accepted" in lines
    assert f"serve it: MASKSEMBLES_MODEL_REPOSITORY={tiny_repository} make serve" in lines


def test_the_row_that_is_asked_about_is_that_which_is_given(
    tiny_repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summarise(tiny_repository, "tiny", 1, {"input": np.arange(12, dtype=np.float32).reshape(2, 6)})
    assert '"inputs": [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]' in capsys.readouterr().out
