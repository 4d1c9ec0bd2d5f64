"""A study: what is trained, on which data and with which seeds, and what is measured. Each kind of study has a file in
this folder."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Self

import onnx

from app.contract.schema import Contract
from models.benchmark.studies.entry import Entry, typical
from models.data import Dataset, DatasetError, load
from models.training.recipe import DEFAULTS, Recipe

MEMBERS = 4
"""Networks of a deep ensemble, and submodels of everything else but the single network."""

Figures = dict[str, Any]
"""The measurements of one model, as JSON-compatible values."""


@dataclass(frozen=True)
class Exported:
    """A model of a study in a repository: the portable file, and the plans of devices."""

    model: onnx.ModelProto
    contract: Contract
    plans: Mapping[str, tuple[onnx.ModelProto, Contract]]


@dataclass(frozen=True)
class Report:
    """The results of a study: Markdown tables by name, and its part of `figures.json`."""

    tables: dict[str, str]
    figures: dict[str, Any]


@dataclass(frozen=True)
class Study(ABC):
    """A comparison on one data set."""

    data: str
    classes: int
    input_shape: tuple[int, ...]
    compared: tuple[Entry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of every recipe, over the defaults of the data set unless `complete`."""
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"width": {}})
    """Settings of recipes by variant: `width` is the single network with masks."""
    dropout: float = 0.1
    """The rate of MC-dropout."""
    title: str = ""
    """The name of its folder, if another study has the same data."""
    complete: bool = False
    """Whether `settings` stand alone, so that a study stays as it is when the defaults of its data set change."""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.title or self.data

    def recipes(self, entry: Entry, seed: int) -> tuple[Recipe, ...]:
        """The training runs behind one model: one, or four single networks for a deep ensemble.

        The members of an ensemble are the single models themselves, so ensembles share members and are less independent
        than models of other methods: of five, neighbours share half; of two, three of four.
        """
        if entry.kind.several:
            many = len(entry.seeds)
            pool, step = (2 * many, 2) if many > 2 else (MEMBERS + many - 1, 1)
            return tuple(self.recipes(entry.trained, (step * seed + index) % pool)[0] for index in range(MEMBERS))
        defaults = {} if self.complete else DEFAULTS[self.data]
        layers = (defaults, self.settings, self.variants[entry.variant])
        settings = {key: value for layer in layers for key, value in layer.items()}
        settings |= {
            "data": self.data,
            "input_shape": self.input_shape,
            "classes": self.classes_of(entry),
            "options": {key: value for layer in layers for key, value in layer.get("options", {}).items()},
            "method": entry.kind.trains,
            "submodels": MEMBERS,
            "scale": entry.scale,
            "dropout": self.dropout,
            "seed": seed,
        }
        return (Recipe(**settings),)

    def trainings(self) -> dict[str, tuple[Entry, Recipe]]:
        """Every training run that is needed, once, by name."""
        return {
            self.training_name(entry, recipe): (entry, recipe)
            for entry in self.compared
            for seed in entry.seeds
            for recipe in self.recipes(entry, seed)
        }

    def training_name(self, entry: Entry, recipe: Recipe) -> str:
        """The name of its checkpoint."""
        return f"{entry.trained.name}-{recipe.seed}"

    def teachers(self, entry: Entry, recipe: Recipe) -> tuple[str, ...]:
        """The names of the training runs whose networks a recipe learns from: those of the ensemble with its seed."""
        if not recipe.teachers:
            return ()
        ensemble = next(one for one in self.compared if one.kind.several and one.held_out == entry.held_out)
        return tuple(self.training_name(ensemble, member) for member in self.recipes(ensemble, recipe.seed))

    def quick(self) -> Self:
        """The same with one seed, and of masked networks one point of each variant."""
        kept = [
            entry
            for entry in self.compared
            if entry.shown and (not entry.kind.masked or entry in typical(self.compared))
        ]
        return replace(self, compared=tuple(replace(entry, seeds=(0,)) for entry in kept))

    def classes_of(self, entry: Entry) -> int:
        """The number of classes an entry's networks know."""
        return self.classes

    def load(self, folder: Path | None) -> Dataset:
        """The whole data set, its files in `folder`.

        Raises:
            DatasetError: a file is missing or in another format, or the number of classes differs.
        """
        dataset = _load(self.data, folder)
        if len(dataset.classes) != self.classes:
            raise DatasetError(f"{self.data}: expected {self.classes} classes, got {len(dataset.classes)}")
        return dataset

    def seen(self, entry: Entry, folder: Path | None) -> Dataset:
        """The data set as an entry sees it."""
        return self.load(folder)

    @abstractmethod
    def depends_on(self, entry: Entry, folder: Path | None) -> dict[str, Any]:
        """What figures depend on besides the model and the test rows, as JSON-compatible values."""

    @abstractmethod
    def measure(self, entry: Entry, exported: Exported, folder: Path | None) -> Figures:
        """The figures of one model."""

    @abstractmethod
    def report(self, found: Mapping[str, list[Figures]], repository: Path, results: Path) -> Report:
        """Makes tables of the figures of each entry's name, and draws plots into the folder of results."""

    @abstractmethod
    def published(self) -> dict[str, str]:
        """The models to publish: their new names, by name in the study's repository."""


@cache
def _load(name: str, folder: Path | None) -> Dataset:
    return load(name, folder)
