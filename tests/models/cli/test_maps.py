"""`calibrate` and `evaluate` of a model that answers for cells, within this process."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from models import artefact
from models.__main__ import main
from tests import artefacts, dense_graphs
from tests.models.evaluation.tasks.segmented import segmented


def run(command: str, folder: Path, model: str, seed: int, *more: str) -> int:
    split = segmented(2.0, seed)
    np.savez(folder / "rows.npz", inputs=split.inputs, labels=split.labels, classes=np.array(dense_graphs.LABELS))
    where = ["--data", str(folder / "rows.npz"), "--repository", str(folder / "repository")]
    return main([command, model, *where, *more])


def test_from_rows_in_a_file_to_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    artefacts.write(tmp_path / "repository", "land", *dense_graphs.segmentation())
    assert run("calibrate", tmp_path, "land:1", 0, "--policy", "defer entropy>p90", "--risks", "0.5") == 0
    assert capsys.readouterr().out.startswith("300 rows of rows: temperature 0.49")
    head = artefact.read(tmp_path / "repository", "land", 2)[1].head
    assert [rule.threshold for rule in head.policy.rules] == [head.calibration.quantiles["entropy"][90]]

    found = tmp_path / "found.json"
    assert run("evaluate", tmp_path, "land:2", 5, "--json", str(found), "--figures", str(tmp_path)) == 0
    title, cells, ranked, overlaps, policy, *sets = capsys.readouterr().out.splitlines()
    assert title == "land:2, masksembles, N = 2"
    assert re.fullmatch(
        r"rows, \d+ cells of 300 test rows: accuracy 0\.\d+, mean IoU 0\.\d+, NLL 0\.\d+, ECE 0\.\d+ \(uncalibrated "
        r"0\.\d+\), of rows 0\.\d+; submodels alone 0\.\d+ 0\.\d+",
        cells,
    )
    assert ranked.startswith("rows ranked by their errors, AUROC of the worst tenth/Spearman: entropy 0.")
    assert re.fullmatch(r"IoU 0\.\d+ 0\.\d+ 0\.\d+; AURC 0\.\d+", overlaps)
    assert re.match(
        r"policy: \d+\.\d % accepted, .*; share of wrong cells 0\.\d+ among the accepted, 0\.\d+ ov", policy
    )
    assert [line.partition(":")[0] for line in sets] == [f"{percent} % prediction sets" for percent in (90, 95, 99)]
    report = json.loads(found.read_text())["land:2"]
    assert report["test"]["mean_iou"] == report["evaluation"]["mean_iou"]
    assert report["outcome"]["clean"]["sets"]["90"]["coverage"] > 0.88
