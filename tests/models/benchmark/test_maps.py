"""The study of maps, on the small model of `tests.dense_graphs`."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract.schema import Compilation
from models.benchmark import tables
from models.benchmark.studies import SCENES, Entry, Exported, MapStudy
from models.data import Dataset, Split
from models.data.scenes import digit_cells
from models.evaluation.calibration import calibrate
from tests import artefacts, dense_graphs
from tests.models.benchmark.test_tables import rows
from tests.models.evaluation.tasks.segmented import segmented

SINGLE, MASKED = Entry("single", seeds=(0,)), Entry("masksembles", 2.0, seeds=(0,))


def bright(found: Split) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Rows with a bright patch in a corner, and where that is."""
    inputs, where = found.inputs[:50].copy(), np.zeros((50, *found.labels.shape[1:]), np.bool_)
    inputs[:, 0, :3, :3], where[:, :3, :3] = 255, True
    return inputs, where


STUDY = MapStudy(
    data="mine", classes=3, input_shape=(1, 8, 16), compared=(SINGLE, MASKED), corrupted_rows=4,
    strange={"patches": bright},
)  # fmt: skip


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exported:
    test = segmented(2.0, 1)
    found = Dataset("mine", dense_graphs.LABELS, test, test, test, None, "pixel", "BCHW")
    monkeypatch.setattr("models.benchmark.studies.study._load", lambda name, folder: found)
    model, contract = dense_graphs.segmentation()
    fitted = calibrate(model, contract, contract.head, "mine", segmented(2.0, 0))
    contract = contract.with_head(contract.head, calibration=fitted)
    contract = contract.model_copy(update={"compilation": Compilation(macs=3, macs_single=2)})
    for entry in STUDY.compared:
        artefacts.write(tmp_path / "repository", f"{entry.name}-0", model, contract)
    return Exported(model, contract, {})


def test_what_is_measured_is_told_in_tables(exported: Exported, tmp_path: Path) -> None:
    measured = STUDY.measure(MASKED, exported, None)
    assert measured["strange"]["patches"].keys() == {"entropy", "mutual_information", "energy", "max_probability"}
    assert len(measured["corrupted"]["gaussian_noise"]) == 5
    assert measured["macs"] == 3
    found = {entry.name: [measured] for entry in STUDY.compared}
    report = STUDY.report(found, tmp_path / "repository", tmp_path)
    assert list(report.tables) == [
        f"mine-{name}" for name in ("cells", "ranking", "severities", "ood", "strange", "seconds")
    ]
    assert "risk_by_coverage" not in report.figures["mine"][MASKED.name][0]["test"]
    test = measured["test"]
    _, cells = rows(report.tables["mine-cells"])
    assert [cells[name] for name in ("mean IoU", "ECE of rows", "cost")] == [
        f"{test['mean_iou']:.4f}", f"{test['row_ece']:.4f}", "1.00",
    ]  # fmt: skip
    _, ranked = rows(report.tables["mine-ranking"])
    entropy = test["ranking"]["entropy"]
    assert ranked["entropy"] == f"{entropy['auroc_worst_tenth']:.3f}, {entropy['spearman']:.3f}"
    patches = rows(report.tables["mine-strange"])[1]
    assert patches["OOD set"] == "patches"
    assert patches["energy"].startswith(f"{measured['strange']['patches']['energy']['auroc']:.3f}, ")


def test_scores_that_rank_nothing_are_left_open() -> None:
    alike = {score: {"auroc_worst_tenth": None, "spearman": None} for score in tables._SHORT}
    figures = {SINGLE.name: [{"test": {"ranking": alike}}]}
    assert rows(tables.ranking([SINGLE], figures))[0]["entropy"] == "–, –"


def test_figures_depend_on_the_strange_rows(exported: Exported) -> None:
    assert len(STUDY.depends_on(MASKED, None)["strange"]["patches"]) == 2


def test_the_digits_of_scenes_are_strange() -> None:
    assert SCENES.strange == {"digits": digit_cells}
