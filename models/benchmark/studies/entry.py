"""What is compared: a method with its settings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.contract.schema import Method
from models.training.methods import METHODS, REFERENCE, TrainingMethod

_NETWORKS = {"": "", "late-": "late masks, repeated, "}
_SETTINGS = {
    "mirrored": "mirrored",
    "faster": "mirrored, rate 0.006",
    "shifted": "mirrored, shifted, rate 0.006",
    "shifted-forty": "mirrored, shifted, rate 0.006, 40 epochs",
}
_VARIANTS = {
    "width": "fixed width",
    "capacity": "fixed capacity",
    "wide": "half as wide again",
    "head": "only before the last layer",
    "long": "60 epochs",
    "late": "late masks, repeated",
    "taught": "late masks, repeated, taught",
    "joint": "late masks, repeated, half of the loss joint",
    "longer": "late masks, repeated, 40 epochs",
    "narrow": "late masks, repeated, not widened",
    "once": "late masks, not repeated",
    "repeated": "all masks, repeated, not widened",
    "broad": "as wide as late masks",
    "forty": "40 epochs",
    **{
        f"{network}{setting}": f"{words}{said}"
        for network, words in _NETWORKS.items()
        for setting, said in _SETTINGS.items()
    },
}


@dataclass(frozen=True)
class Entry:
    """One method with its settings, trained with several seeds."""

    method: Method
    scale: float = 1.0
    variant: str = "width"
    """How a masked network relates to the single one: see `Study.variants`."""
    held_out: bool = False
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    tried: bool = False
    """Not part of the comparison by severity: the result of an experiment."""

    @property
    def kind(self) -> TrainingMethod:
        """Properties of its method."""
        return METHODS[self.method]

    @property
    def trained(self) -> "Entry":
        """The entry of the training runs behind it: itself, or that of each member of an ensemble."""
        return Entry(self.kind.trains, variant=self.variant, held_out=self.held_out) if self.kind.several else self

    @property
    def shown(self) -> bool:
        """Whether it is part of the comparison."""
        return not (self.held_out or self.tried)

    @property
    def name(self) -> str:
        """The model's name in a repository, without the seed."""
        scale = f"-s{self.scale:g}" if self.kind.masked else ""
        variant = f"-{self.variant}" if self.kind.masked or self.variant != "width" else ""
        return f"{'near' if self.held_out else 'all'}-{self.method}{scale}{variant}"

    @property
    def label(self) -> str:
        """Its name in tables and plots."""
        scale = f" S = {self.scale:g}" if self.kind.masked else ""
        variant = f", {self.variant_label}" if self.kind.masked or self.variant != "width" else ""
        return f"{self.kind.label}{scale}{variant}"

    @property
    def variant_label(self) -> str:
        """The variant's name in tables and plots."""
        return _VARIANTS[self.variant]


def reference(compared: Sequence[Entry]) -> Entry:
    """The entry that costs are relative to."""
    return next(entry for entry in compared if entry.method == REFERENCE and not entry.held_out)


def typical(compared: Sequence[Entry]) -> list[Entry]:
    """One masked entry for each variant: the one whose scale is nearest to 2."""
    points: dict[str, Entry] = {}
    for entry in compared:
        if entry.kind.masked and not entry.held_out:
            other = points.setdefault(entry.variant, entry)
            points[entry.variant] = min(other, entry, key=lambda point: abs(point.scale - 2))
    return list(points.values())


def masked(
    scales: Sequence[float], variants: Sequence[str], seeds: tuple[int, ...], *, tried: bool = False
) -> list[Entry]:
    """Every scale in every variant."""
    return [Entry("masksembles", scale, variant, seeds=seeds, tried=tried) for variant in variants for scale in scales]


def all_methods(masked: Sequence[Entry], seeds: tuple[int, ...], *, held_out: bool = False) -> tuple[Entry, ...]:
    """All four methods, with the given Masksembles entries."""
    entries = (
        Entry("single", seeds=seeds),
        Entry("mc-dropout", seeds=seeds),
        *masked,
        Entry("deep-ensemble", seeds=seeds),
    )
    return tuple(replace(entry, held_out=held_out) for entry in entries)
