"""Recipes for Masksembles beside the other methods: all figures of a method in one row, from classes that a network
knows and from classes held out of its training, and what each score detects."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from models.benchmark import tables
from models.benchmark.cost import processor_seconds
from models.benchmark.studies.entry import reference
from models.benchmark.studies.images import ImageStudy, without_curves
from models.benchmark.studies.study import Figures, Report
from models.data import Dataset


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


@dataclass(frozen=True)
class SearchStudy(RecipeStudy):
    """The same settings for each method, measured on training rows that follow those that recipes use."""

    def load(self, folder: Path | None) -> Dataset:
        """The data set, with these rows in place of those of the test split."""
        dataset, used = super().load(folder), self.settings["rows"]
        return replace(dataset, test=dataset.train.take(slice(used, 2 * used)))

    def report(self, found: Mapping[str, list[Figures]], repository: Path, results: Path) -> Report:
        """One table: how good each method is with each setting."""
        figures = {name: [without_curves(one) for one in each] for name, each in found.items()}
        return Report({"search": tables.search(self.compared, found)}, {self.name: figures})
