"""Classifiers of images: how accurate and how well calibrated they are on test rows and on corrupted ones, how well
they detect out-of-distribution (OOD) inputs, and what an answer costs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from models import runtime
from models.benchmark import tables
from models.benchmark.cost import macs, seconds, weights
from models.benchmark.studies.entry import Entry, reference, typical
from models.benchmark.studies.study import Exported, Figures, Report, Study
from models.data import Dataset
from models.data.corrupted import Corrupted, CorruptedFiles, generated
from models.data.corruptions import PARAMETERS, Family
from models.data.dataset import Lazy
from models.data.digests import rows_digest
from models.data.ood import held_out, ood_inputs
from models.evaluation.measurement import measure
from models.evaluation.respondent import Respondent

_CURVES = ("reliability", "reliability_uncalibrated", "risk_by_coverage")
_CORRUPTION_SEED = 0


@dataclass(frozen=True)
class ImageStudy(Study):
    """All methods on one data set of images."""

    held_out: tuple[str, ...] = ()
    """Classes that some networks never see: OOD inputs that are near."""
    family: Family = "cifar"
    corrupted_rows: int | None = None
    """Corruptions are measured on this many test rows, from the first; by default on all, and with 0 not at all."""
    corrupted_files: CorruptedFiles | None = None
    """Used instead of generated corruptions, if present."""
    ood_files: Mapping[str, tuple[str, Callable[[Path], NDArray[Any]]]] = field(default_factory=dict)
    """Further OOD inputs by name: a file that may lie beside the data set's, and what reads it from there."""

    def classes_of(self, entry: Entry) -> int:
        """Those not held out."""
        return self.classes - len(self.held_out) * entry.held_out

    def seen(self, entry: Entry, folder: Path | None) -> Dataset:
        """The data set without the held-out classes, for entries that never see them."""
        dataset = self.load(folder)
        return held_out(dataset, self.held_out)[0] if entry.held_out else dataset

    def depends_on(self, entry: Entry, folder: Path | None) -> dict[str, Any]:
        """The OOD inputs, and which rows are corrupted how."""
        ood = {name: rows_digest(inputs) for name, inputs in self._ood(entry, folder).items()}
        return {"ood": ood, "corrupted": self._corruptions(entry, folder)}

    def measure(self, entry: Entry, exported: Exported, folder: Path | None) -> Figures:
        """As `models.evaluation.measurement.measure` has them, and what an answer costs."""
        contract, dataset = exported.contract, self.seen(entry, folder)
        respondent = Respondent(runtime.served(exported.model, exported.plans), contract, contract.head)
        ood = {name: respondent.outputs(inputs) for name, inputs in self._ood(entry, folder).items()}
        corrupted = respondent.answer_corrupted(self._corrupted(entry, dataset, folder))
        return {
            **measure(contract, contract.head, respondent.answer(dataset.test), ood, corrupted),
            "macs": macs([contract, *(planned for _, planned in exported.plans.values())]),
            "weights": weights(exported.model),
        }

    def report(self, found: Mapping[str, list[Figures]], repository: Path, results: Path) -> Report:
        """Tables of all that was measured, and two plots: by severity, and along the scale."""
        from models.benchmark import figures

        figures.severity(self.compared, found, results / "severity.png")
        figures.transition(self.compared, found, results / "transition.png")
        points = {f"{entry.name}-{entry.seeds[0]}": entry.label for entry in self.compared if entry.shown}
        single = reference(self.compared)
        times = seconds(repository, f"{single.name}-{single.seeds[0]}", points)
        return Report(
            {
                "predictive": tables.predictive(self.compared, found),
                "severities": tables.severities(self.compared, found),
                "ood": tables.ood(self.compared, found),
                "seconds": tables.seconds(times, points),
            },
            {
                "entries": {name: [without_curves(one) for one in each] for name, each in found.items()},
                "seconds": times,
            },
        )

    def published(self) -> dict[str, str]:
        """One of each method, with the first seed."""
        usual = [entry for entry in typical(self.compared) if entry.variant == "width"]
        return {
            f"{entry.name}-{entry.seeds[0]}": f"{self.data}-{entry.method}"
            for entry in self.compared
            if entry.shown and (not entry.kind.masked or entry in usual)
        }

    def _ood(self, entry: Entry, folder: Path | None) -> dict[str, NDArray[Any] | Lazy]:
        dataset = self.load(folder)
        if entry.held_out:
            return {"held-out classes": held_out(dataset, self.held_out)[1].inputs}
        found: dict[str, NDArray[Any] | Lazy] = {}
        for name, (file, read) in self.ood_files.items():
            if folder is not None and (folder / file).exists():
                found[name] = read(folder)
        return found | ood_inputs(dataset)

    def _corruptions(self, entry: Entry, folder: Path | None) -> dict[str, Any] | None:
        if entry.held_out or self.corrupted_rows == 0:
            return None
        if self.corrupted_files and (place := self.corrupted_files.beside(folder)):
            return {"files": self.corrupted_files.digest(place)}
        return {"rows": self.corrupted_rows, "amounts": PARAMETERS[self.family], "seed": _CORRUPTION_SEED}

    def _corrupted(self, entry: Entry, dataset: Dataset, folder: Path | None) -> Corrupted:
        if entry.held_out or self.corrupted_rows == 0:
            return iter(())
        if self.corrupted_files and (place := self.corrupted_files.beside(folder)):
            return self.corrupted_files.read(place)
        test, rows = dataset.test, slice(self.corrupted_rows)
        if self.corrupted_rows is not None:
            test = test.take(rows)
        return generated(test, self.family, _CORRUPTION_SEED)


def without_curves(figures: Figures) -> Figures:
    """What was measured, without the curves."""
    test = {name: value for name, value in figures["test"].items() if name not in _CURVES}
    return {**figures, "test": test}
