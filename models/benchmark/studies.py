"""What is trained and compared, on which data, and with which seeds: the paper's tables, and Fashion-MNIST on a small
machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.contract.schema import Method
from models.data.corruptions import Family
from models.training.recipe import DEFAULTS, Recipe

MEMBERS = 4
"""Networks of a deep ensemble, and submodels of everything else but the single network."""


_VARIANTS = {
    "width": "fixed width",
    "capacity": "fixed capacity",
    "wide": "half as wide again",
    "head": "only before the last layer",
    "long": "60 epochs",
}


@dataclass(frozen=True)
class Entry:
    """One method with its settings, of which there are models with several seeds."""

    method: Method
    scale: float = 1.0
    variant: str = "width"
    """How a Masksembles network relates to the single one: see `Study.variants`."""
    held_out: bool = False
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    tried: bool = False
    """Not part of the comparison by severity: shows what became of an idea."""

    @property
    def name(self) -> str:
        """As a model's name in a repository, without the seed."""
        scale = f"-s{self.scale:g}" if self.method == "masksembles" else ""
        variant = f"-{self.variant}" if self.method == "masksembles" or self.variant != "width" else ""
        return f"{'near' if self.held_out else 'all'}-{self.method}{scale}{variant}"

    @property
    def label(self) -> str:
        """As tables and pictures name it."""
        named = {"mc-dropout": "MC-dropout", "deep-ensemble": "deep ensemble"}.get(self.method, self.method)
        if self.method == "masksembles":
            return f"Masksembles S = {self.scale:g}, {_VARIANTS[self.variant]}"
        return named if self.variant == "width" else f"{named}, {_VARIANTS[self.variant]}"


@dataclass(frozen=True)
class Study:
    """A comparison on one data set."""

    data: str
    classes: int
    input_shape: tuple[int, ...]
    compared: tuple[Entry, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of every recipe, over the defaults of the data set."""
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"width": {}})
    """Settings of recipes by variant: `width` is the single network with masks."""
    dropout: float = 0.1
    """The rate of MC-dropout."""
    held_out: tuple[str, ...] = ()
    """Classes that some networks never see: OOD inputs that are near."""
    family: Family = "cifar"
    corrupted_rows: int | None = None
    """Of how many test rows, the first ones, corruptions are measured; without it of all."""

    def recipes(self, entry: Entry, seed: int) -> tuple[Recipe, ...]:
        """The trainings behind one model: one, or four single networks for a deep ensemble.

        The members of an ensemble are the single models themselves, so ensembles share members and are less independent
        than models of other methods: of five, neighbours share half; of two, three of four.
        """
        if entry.method == "deep-ensemble":
            single, many = Entry("single", held_out=entry.held_out), len(entry.seeds)
            pool, step = (2 * many, 2) if many > 2 else (MEMBERS + many - 1, 1)
            return tuple(self.recipes(single, (step * seed + index) % pool)[0] for index in range(MEMBERS))
        variant = self.variants[entry.variant]
        settings = {**DEFAULTS[self.data], **self.settings, **variant}
        options = {
            key: value
            for given in (DEFAULTS[self.data], self.settings, variant)
            for key, value in given.get("options", {}).items()
        }
        return (
            Recipe(
                **{
                    **settings,
                    "data": self.data,
                    "input_shape": self.input_shape,
                    "classes": self.classes - len(self.held_out) * entry.held_out,
                    "options": options,
                    "method": entry.method,
                    "submodels": MEMBERS,
                    "scale": entry.scale,
                    "dropout": self.dropout,
                    "seed": seed,
                }
            ),
        )

    def trainings(self) -> dict[str, tuple[Entry, Recipe]]:
        """Every training that is needed, once, by name."""
        found: dict[str, tuple[Entry, Recipe]] = {}
        for entry in self.compared:
            for seed in entry.seeds:
                for recipe in self.recipes(entry, seed):
                    found[self.training_name(entry, recipe)] = (entry, recipe)
        return found

    def training_name(self, entry: Entry, recipe: Recipe) -> str:
        """As its checkpoint is called."""
        own = replace(entry, method="single", variant="width") if entry.method == "deep-ensemble" else entry
        return f"{own.name}-{recipe.seed}"

    def quick(self) -> "Study":
        """The same with one seed, and of Masksembles one point of each variant."""
        kept = [
            entry
            for entry in self.compared
            if not (entry.held_out or entry.tried)
            and (entry.method != "masksembles" or entry in typical(self.compared))
        ]
        return replace(self, compared=tuple(replace(entry, seeds=(0,)) for entry in kept))


def typical(compared: Sequence[Entry]) -> list[Entry]:
    """One point of Masksembles for each variant: that whose scale is nearest to 2."""
    points: dict[str, Entry] = {}
    for entry in compared:
        if entry.method == "masksembles" and not entry.held_out:
            other = points.setdefault(entry.variant, entry)
            points[entry.variant] = min(other, entry, key=lambda point: abs(point.scale - 2))
    return list(points.values())


def _masked(scales: Sequence[float], variants: Sequence[str], seeds: tuple[int, ...]) -> list[Entry]:
    return [Entry("masksembles", scale, variant, seeds=seeds) for variant in variants for scale in scales]


def _methods(masked: Sequence[Entry], seeds: tuple[int, ...]) -> tuple[Entry, ...]:
    """All four methods, Masksembles as they are given."""
    return (
        Entry("single", seeds=seeds),
        Entry("mc-dropout", seeds=seeds),
        *masked,
        Entry("deep-ensemble", seeds=seeds),
    )


_FIVE, _ONE = (0, 1, 2, 3, 4), (0,)

STUDIES: dict[str, Study] = {
    "fashion-mnist": Study(
        data="fashion-mnist",
        classes=10,
        input_shape=(1, 28, 28),
        compared=(
            *_methods(_masked((1.5, 2.0, 3.0), ("width", "capacity"), _FIVE), _FIVE),
            Entry("masksembles", 2.0, "head", seeds=(0, 1), tried=True),
            Entry("single", variant="long", seeds=(0, 1), tried=True),
            Entry("masksembles", 2.0, "long", seeds=(0, 1), tried=True),
            Entry("single", held_out=True, seeds=(0, 1)),
            Entry("mc-dropout", held_out=True, seeds=(0, 1)),
            Entry("masksembles", 3.0, "capacity", held_out=True, seeds=(0, 1)),
            Entry("deep-ensemble", held_out=True, seeds=(0, 1)),
        ),
        settings={
            "align": None,
            "options": {"widths": [16, 32, 64, 64], "strided": True},
            "rows": 10_000,
            "epochs": 20,
            "weight_decay": 1e-4,
            "flip": False,
        },
        variants={
            "width": {"options": {"widen": False}},
            "capacity": {"options": {"widen": True}},
            "head": {"options": {"widen": False, "first_mask": 2}},
            "long": {"options": {"widen": False}, "epochs": 60},
        },
        dropout=0.2,
        held_out=("pullover", "sneaker"),
        corrupted_rows=2000,
    ),
    # Table 1 and figures 6 and 8 of the paper. It does not print the settings of its best network, only that it has
    # 2.3 times the weights: with all layers half as wide again that is S = 1.5.
    "cifar-10": Study(
        data="cifar-10",
        classes=10,
        input_shape=(3, 32, 32),
        compared=_methods([*_masked((1.1, 1.4, 2.0, 3.0), ("width",), _ONE), *_masked((1.5,), ("wide",), _ONE)], _ONE),
        variants={"width": {}, "wide": {"options": {"widening": 6}}},
    ),
    # Table 2 and figure 10: mask overlaps of 0.7, 0.3 and 0.2.
    "imagenet": Study(
        data="imagenet",
        classes=1000,
        input_shape=(3, 224, 224),
        compared=_methods(_masked((1.21, 2.17, 3.0), ("width",), _ONE), _ONE),
        family="imagenet",
    ),
}
