from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.benchmark import figures, report, tables
from models.benchmark.studies.entry import Entry
from models.evaluation.classifier_figures import SCORES

SINGLE, MASKED, ENSEMBLE, NEAR = COMPARED = (
    Entry("single", seeds=(0,)),
    Entry("masksembles", 2.0, seeds=(0, 1, 2)),
    Entry("deep-ensemble", seeds=(0,)),
    Entry("single", held_out=True, seeds=(0,)),
)


def made(accuracy: float, macs: int = 100, weights: int = 10, disagreement: float | None = None) -> dict[str, Any]:
    """What `measure` tells of one model; kinds of corruption differ by 0.2, severities by 0.01."""
    test = {
        "accuracy": accuracy, "nll_uncalibrated": 0.5, "nll": 0.25, "brier": 0.125, "ece_uncalibrated": 0.06,
        "ece": 0.03, "adaptive_ece": 0.02, "aurc": {"entropy": 0.01}, "disagreement": disagreement,
    }  # fmt: skip
    corrupted = {
        kind: [{"accuracy": value - 0.01 * at, "ece_uncalibrated": 0.2, "ece": 0.1} for at in range(5)]
        for kind, value in (("fog", accuracy - 0.1), ("snow", accuracy - 0.3))
    }
    ood = {
        kind: {score: {"auroc": accuracy, "aupr": 0.7, "fpr95": 0.2} for score in SCORES}
        for kind in ("digits", "noise")
    }
    submodels = 1 if disagreement is None else 4
    return {
        "num_submodels": submodels,
        "macs": macs,
        "weights": weights,
        "test": test,
        "corrupted": corrupted,
        "ood": ood,
    }


FIGURES = {
    SINGLE.name: [made(0.9)],
    MASKED.name: [made(value, 120, 14, 0.05) for value in (0.91, 0.93, 0.95)],
    ENSEMBLE.name: [made(0.96, 400, 40, 0.1)],
    NEAR.name: [made(0.8)],
}


def rows(table: str) -> list[dict[str, str]]:
    head, _, *others = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [dict(zip(head, cells, strict=True)) for cells in others]


def test_predictive_tells_means_spreads_and_ratios() -> None:
    single, masked, ensemble = rows(tables.predictive(COMPARED, FIGURES))
    assert [single[name] for name in ("method", "weights", "cost", "accuracy")] == ["single", "1.0", "1.00", "0.9000"]
    assert single["disagreement"] == "–"
    assert masked["accuracy"] == f"0.9300 ± {np.std([0.91, 0.93, 0.95], ddof=1):.4f}" == "0.9300 ± 0.0200"
    assert [masked[name] for name in ("weights", "cost", "disagreement")] == ["1.4", "1.20", "0.0500"]
    assert [ensemble[name] for name in ("weights", "cost")] == ["4.0", "4.00"]
    assert [ensemble[name] for name in ("NLL, T = 1", "NLL", "ECE, T = 1", "ECE")] == [
        "0.5000", "0.2500", "0.0600", "0.0300",
    ]  # fmt: skip


def test_ratios_are_to_the_single_network_of_all_classes_wherever_it_stands() -> None:
    figures = {**FIGURES, NEAR.name: [made(0.8, macs=7, weights=7)]}
    masked = rows(tables.predictive((NEAR, MASKED, SINGLE), figures))[0]
    assert (masked["weights"], masked["cost"]) == ("1.4", "1.20")


def test_severities_are_means_over_kinds() -> None:
    single, masked, _ = rows(tables.severities(COMPARED, FIGURES))
    assert [single[f"accuracy {severity}"] for severity in (1, 2, 5)] == ["0.700", "0.690", "0.660"]
    assert masked["accuracy 1"] == "0.730 ± 0.020"
    assert (single["ECE, T = 1, 3"], single["ECE 3"]) == ("0.200", "0.100")
    assert tables.by_seed(FIGURES[MASKED.name], "accuracy", 4) == pytest.approx([0.67, 0.69, 0.71])


def test_ood_sets_are_sorted_by_kind_and_tells_no_disagreement_of_one_network() -> None:
    found = rows(tables.ood(COMPARED, FIGURES))
    kinds = [row["OOD set"] for row in found]
    assert kinds == ["digits"] * (len(kinds) // 2) + ["noise"] * (len(kinds) // 2)
    assert (found[0]["entropy"], found[0]["MI"]) == ("0.900, 0.700, 0.200", "–")
    assert found[1]["entropy"].startswith("0.930 ± 0.020, ")


def test_seconds_and_path() -> None:
    ratios = {"a": {"1": 1.0, "16": 1.0}, "b": {"1": 1.239, "16": 3.5}}
    assert rows(tables.seconds(ratios, {"a": "single", "b": "other"}))[1] == {
        "time relative to single": "other", "batch 1": "1.24", "batch 16": "3.50",
    }  # fmt: skip
    point = {"label": "single", "accuracy": 0.97, "far_entropy": 0.1, "far_correlation": 1.0}
    assert list(rows(tables.path({"p": point}))[0].values()) == ["single", "0.970", "0.100", "1.000"]


@pytest.mark.parametrize("compared", [COMPARED, COMPARED[:2]])
def test_pictures_show_something(tmp_path: Path, compared: tuple[Entry, ...]) -> None:
    for draw in (figures.severity, figures.transition):
        draw(compared, FIGURES, tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 20)) > 10


def test_figures_take_other_ood_sets_than_digits(tmp_path: Path) -> None:
    noise = {name: [{**one, "ood": {"noise": one["ood"]["noise"]}} for one in each] for name, each in FIGURES.items()}
    figures.transition(COMPARED, noise, tmp_path / "a.png")


def test_fill_replaces_what_stands_between_the_marks(tmp_path: Path) -> None:
    page, results = tmp_path / "results.md", tmp_path / "results"
    results.mkdir()
    (results / "seconds.md").write_text("| new |\n")
    (results / "unused.md").write_text("| never |\n")
    page.write_text("before\n<!-- seconds -->\n\n| old |\n\n<!-- /seconds -->\nafter <!-- ood -->\n")
    for _ in range(2):
        report.fill(page, results)
        assert page.read_text() == ("before\n<!-- seconds -->\n\n| new |\n\n<!-- /seconds -->\nafter <!-- ood -->\n")
    text = "<!-- seconds -->\n| old |\n"
    page.write_text(text)
    with pytest.raises(ValueError, match="<!-- seconds --> has no <!-- /seconds -->"):
        report.fill(page, results)
    assert page.read_text() == text
