import numpy as np
import pytest

from models.benchmark import tables
from tests.models.benchmark.measured import COMPARED, FIGURES, MASKED, NEAR, SINGLE, TIMES, made


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


def test_a_search_is_told_in_the_order_of_its_entries() -> None:
    found = rows(tables.search(COMPARED, FIGURES))
    assert [row["method"] for row in found] == [entry.label for entry in COMPARED if not entry.held_out]
    assert found[0] == {"method": "single", "accuracy": "0.9000", "NLL": "0.2500", "ECE": "0.0300"}


def test_a_recipe_has_all_its_figures_in_one_row() -> None:
    single, masked, ensemble = rows(tables.recipes(COMPARED, FIGURES, TIMES))
    assert [single[name] for name in ("cost", "time", "NLL", "ECE, T = 1")] == ["1.00", "1.25", "0.2500", "0.0600"]
    assert masked["accuracy"] == "0.9300 ± 0.0200"
    assert masked["digits, energy"] == masked["noise, energy"] == "0.930 ± 0.020"
    assert single["held-out classes, entropy"] == "0.800"  # of its twin, which is not shown
    assert (
        single["held-out classes, MI"] == masked["held-out classes, entropy"] == ensemble["held-out classes, MI"] == "–"
    )


def test_severities_are_means_over_kinds() -> None:
    single, masked, _ = rows(tables.severities(COMPARED, FIGURES))
    assert [single[f"accuracy {severity}"] for severity in (1, 2, 5)] == ["0.700", "0.690", "0.660"]
    assert masked["accuracy 1"] == "0.730 ± 0.020"
    assert (single["ECE, T = 1, 3"], single["ECE 3"]) == ("0.200", "0.100")
    assert tables.by_seed(FIGURES[MASKED.name], "accuracy", 4) == pytest.approx([0.67, 0.69, 0.71])


def test_ood_sets_are_sorted_by_kind_and_tells_no_disagreement_of_one_network() -> None:
    found = rows(tables.ood(COMPARED, FIGURES))
    kinds = [row["OOD set"] for row in found]
    assert kinds == ["digits"] * 3 + ["noise"] * 3 + ["held-out classes"]
    assert (found[0]["entropy"], found[0]["MI"], found[0]["pairwise KL"]) == ("0.900, 0.700, 0.200", "–", "–")
    assert found[1]["entropy"].startswith("0.930 ± 0.020, ")


def test_scores_that_were_not_measured_everywhere_are_not_shown() -> None:
    without = {score: value for score, value in made(0.9)["ood"]["noise"].items() if score != "max_logit"}
    found = tables.ood((SINGLE, MASKED), {**FIGURES, SINGLE.name: [{**made(0.9), "ood": {"noise": without}}]})
    assert "energy" in found
    assert "max logit" not in found


def test_tables_and_plots_show_the_deviation_of_a_sample() -> None:
    assert tables.deviation([0.91, 0.93, 0.95]) == pytest.approx(0.02)
    assert tables.deviation([0.9]) == 0.0


def test_seconds_and_path() -> None:
    ratios = {"a": {"1": 1.0, "16": 1.0}, "b": {"1": 1.239, "16": 3.5}}
    assert rows(tables.seconds(ratios, {"a": "single", "b": "other"}))[1] == {
        "time relative to single": "other", "batch 1": "1.24", "batch 16": "3.50",
    }  # fmt: skip
    point = {"label": "single", "accuracy": 0.97, "far_entropy": 0.1, "far_correlation": 1.0}
    assert list(rows(tables.path({"p": point}))[0].values()) == ["single", "0.970", "0.100", "1.000"]
