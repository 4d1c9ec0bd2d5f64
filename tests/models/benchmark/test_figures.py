from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.benchmark import figures
from models.benchmark.studies.entry import Entry
from models.data import Split
from tests.models.benchmark.measured import COMPARED, FIGURES


def colours(path: Path) -> int:
    with Image.open(path) as image:
        return len(image.convert("RGB").getcolors(1 << 20) or ())


@pytest.mark.parametrize("compared", [COMPARED, COMPARED[:2]])
def test_figures_show_something(tmp_path: Path, compared: tuple[Entry, ...]) -> None:
    for draw in (figures.severity, figures.transition):
        draw(compared, FIGURES, tmp_path / "a.png")
        assert colours(tmp_path / "a.png") > 10


def test_the_price_of_accuracy_is_drawn(tmp_path: Path) -> None:
    figures.price(COMPARED, FIGURES, tmp_path / "a.png")
    assert colours(tmp_path / "a.png") > 10


def test_figures_take_other_ood_sets_than_digits(tmp_path: Path) -> None:
    noise = {
        entry.name: [{**one, "ood": {"noise": one["ood"]["noise"]}} for one in FIGURES[entry.name]]
        for entry in COMPARED[:3]
    }
    figures.transition(COMPARED[:3], noise, tmp_path / "a.png")
    assert colours(tmp_path / "a.png") > 10


def test_maps_of_entropy_show_low_and_high(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = Split(rng.normal(size=(20, 2)).astype(np.float32), rng.integers(0, 2, 20))
    points = [{"label": str(at), "entropy": np.linspace(0, np.log(2), 12).tolist()} for at in range(6)]
    figures.entropy_maps(points, ((-1, 1), (-1, 1)), (4, 3), rows, tmp_path / "a.png")
    assert colours(tmp_path / "a.png") > 100


def test_reliability_and_risk_are_drawn(tmp_path: Path) -> None:
    bins = [{"confidence": 0.5, "accuracy": 0.4}, {"confidence": 0.9, "accuracy": 0.8}]
    test = {
        "reliability_uncalibrated": bins,
        "reliability": bins,
        "risk_by_coverage": {"entropy": np.linspace(0, 0.1, 100).tolist()},
    }
    figures.reliability(test, tmp_path / "a.png")
    assert colours(tmp_path / "a.png") > 10
