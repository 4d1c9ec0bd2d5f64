"""Networks that answer for the cells of images: how right and how well calibrated cells and rows are, how well scores
of rows rank them by their errors, and how well those of cells detect things that no training has seen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import runtime
from models.benchmark import tables
from models.benchmark.cost import seconds
from models.benchmark.studies.entry import Entry, reference
from models.benchmark.studies.images import ImageStudy, without_curves
from models.benchmark.studies.study import Exported, Figures, Report
from models.data import Split
from models.data.digests import rows_digest
from models.evaluation.cell_detection import detect_cells
from models.evaluation.head_session import HeadSession

Strange = Callable[[Split], tuple[NDArray[Any], NDArray[np.bool_]]]
"""From test rows, rows with something in them that is unlike the training data, and which cells [B, *G] that is."""


@dataclass(frozen=True)
class MapStudy(ImageStudy):
    """All methods on one data set of labelled maps."""

    strange: Mapping[str, Strange] = field(default_factory=dict)
    """By name."""

    def depends_on(self, entry: Entry, folder: Path | None) -> dict[str, Any]:
        """Also the rows with something strange."""
        test = self.load(folder).test
        digests = {name: [rows_digest(rows) for rows in made(test)] for name, made in self.strange.items()}
        return {**super().depends_on(entry, folder), "strange": digests}

    def measure(self, entry: Entry, exported: Exported, folder: Path | None) -> Figures:
        """Also `strange`, by name and score of cells: AUROC, AUPR, FPR95."""
        contract = exported.contract
        session = HeadSession(runtime.served(exported.model, exported.plans), contract, contract.head)
        test = self.load(folder).test
        found = {name: detect_cells(session, *made(test)) for name, made in self.strange.items()}
        return {**super().measure(entry, exported, folder), "strange": found}

    def report(self, found: Mapping[str, list[Figures]], repository: Path, results: Path) -> Report:
        """Tables of all that was measured."""
        points = {f"{entry.name}-{entry.seeds[0]}": entry.label for entry in self.compared if entry.shown}
        single = reference(self.compared)
        times = seconds(repository, f"{single.name}-{single.seeds[0]}", points)
        told = {
            "cells": tables.cells(self.compared, found),
            "ranking": tables.ranking(self.compared, found),
            "severities": tables.severities(self.compared, found),
            "ood": tables.ood(self.compared, found),
            "strange": tables.ood(self.compared, found, "strange"),
            "seconds": tables.seconds(times, points),
        }
        return Report(
            {f"{self.data}-{name}": table for name, table in told.items()},
            {
                self.data: {name: [without_curves(one) for one in each] for name, each in found.items()},
                "seconds": times,
            },
        )
