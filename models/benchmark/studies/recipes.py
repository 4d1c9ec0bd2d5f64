"""Recipes for Masksembles beside the other methods: all figures of a method in one row, from classes that a network
knows and from classes held out of its training, and what each score detects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.benchmark import tables
from models.benchmark.cost import processor_seconds
from models.benchmark.studies.entry import reference
from models.benchmark.studies.images import ImageStudy, without_curves
from models.benchmark.studies.study import Figures, Report


@dataclass(frozen=True)
class RecipeStudy(ImageStudy):
    """All methods with one schedule and the same augmentation, and Masksembles trained in several ways."""

    def report(self, found: Mapping[str, list[Figures]], repository: Path, results: Path) -> Report:
        """A table of all figures, one of all scores, and a plot of accuracy, calibration and detection by cost."""
        from models.benchmark import figures

        points = {f"{entry.name}-{entry.seeds[0]}": entry.label for entry in self.compared if not entry.held_out}
        single = reference(self.compared)
        times = processor_seconds(repository, f"{single.name}-{single.seeds[0]}", points)
        figures.price(self.compared, found, results / "price.png")
        return Report(
            {
                "recipes": tables.recipes(self.compared, found, times),
                "recipes-scores": tables.ood(self.compared, found),
            },
            {
                self.name: {name: [without_curves(one) for one in each] for name, each in found.items()},
                "processor_seconds": times,
            },
        )

    def published(self) -> dict[str, str]:
        """None: the first study publishes one of each method."""
        return {}
