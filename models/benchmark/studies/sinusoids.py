"""The path from a single network to an ensemble on two noisy sinusoids (the paper's Fig. 4): where each point of it
is uncertain, on a grid that reaches far beyond the data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.benchmark import tables
from models.benchmark.studies.entry import Entry
from models.benchmark.studies.study import Exported, Figures, Report, Study
from models.data import Dataset
from models.data.digests import rows_digest
from models.evaluation import metrics
from models.evaluation.respondent import Respondent

Floats = NDArray[np.floating[Any]]

X, Y = (-15.0, 15.0), (-6.0, 6.0)
"""The grid's corners."""
STEPS = (301, 121)


@dataclass(frozen=True)
class PathStudy(Study):
    """Accuracy, and on the grid the entropy of answers and how alike the submodels are."""

    def quick(self) -> Self:
        """The whole study: it takes a minute."""
        return self

    def load(self, folder: Path | None) -> Dataset:
        """The data is computed: there are no files, whatever the folder of other studies' data."""
        return super().load(None)

    def depends_on(self, entry: Entry, folder: Path | None) -> dict[str, Any]:
        """The grid."""
        return {"grid": rows_digest(grid())}

    def measure(self, entry: Entry, exported: Exported, folder: Path | None) -> Figures:
        """`accuracy`, `entropy` on the grid [B], the mean of it far from the data, and the submodels' mean pairwise
        correlation there, of the portable model."""
        contract = exported.contract
        respondent, test = Respondent(exported.model, contract, contract.head), self.load(folder).test
        found, far = respondent.outputs(grid()), _far()
        return {
            "accuracy": metrics.accuracy(respondent.outputs(test.inputs)["probabilities"], test.labels),
            "entropy": found["entropy"].tolist(),
            "far_entropy": float(found["entropy"][far].mean()),
            "far_correlation": _correlation(found["logits"][far]),
        }

    def report(self, found: Mapping[str, list[Figures]], repository: Path, results: Path) -> Report:
        """A table, and a plot of the entropy."""
        from models.benchmark import figures

        points = {point_name(entry): {"label": point_label(entry), **found[entry.name][0]} for entry in self.compared}
        figures.entropy_maps(points.values(), (X, Y), STEPS, self.load(None).train, results / "sinusoids.png")
        told = ("label", "accuracy", "far_entropy", "far_correlation")
        short = {name: {key: point[key] for key in told} for name, point in points.items()}
        return Report({"sinusoids": tables.path(short)}, {"sinusoids": short})

    def published(self) -> dict[str, str]:
        """All points."""
        return {f"{entry.name}-{entry.seeds[0]}": point_name(entry) for entry in self.compared}


def point_name(entry: Entry) -> str:
    """The published name of a point's model."""
    return f"sinusoids-s{entry.scale:g}" if entry.kind.masked else f"sinusoids-{entry.method}"


def point_label(entry: Entry) -> str:
    """The name of a point in tables and plots."""
    return f"{entry.kind.label}, S = {entry.scale:g}" if entry.kind.masked else entry.kind.label


def grid() -> Floats:
    """Every point of the grid, float32 [B, 2], rows of equal y one after the other."""
    x, y = np.meshgrid(np.linspace(*X, STEPS[0]), np.linspace(*Y, STEPS[1]))
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)


def _far() -> NDArray[np.bool_]:
    """Which points of the grid lie beyond where data is: |x| above 7."""
    found: NDArray[np.bool_] = np.abs(grid()[:, 0]) > 7
    return found


def _correlation(logits: Floats) -> float:
    """Mean Pearson correlation of the submodels' margins between the two classes, logits [B, N, 2], over all pairs."""
    margins = (logits[:, :, 1] - logits[:, :, 0]).astype(np.float64)
    if margins.shape[1] < 2:
        # one submodel agrees with itself
        return 1.0
    first, second = np.triu_indices(margins.shape[1], k=1)
    return float(np.atleast_2d(np.corrcoef(margins.T))[first, second].mean())
