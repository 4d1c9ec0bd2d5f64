"""What dense heads of all tasks have in common: cells of rows that fit a scale, and what is kept of rows. No torch
here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.head import Head
from models.evaluation import conformal
from models.evaluation.answers import Answers, Outputs
from models.evaluation.cells import sample_cells
from models.evaluation.head_session import HeadSession
from models.evaluation.risk_control import LossCurves, join, risk_controlled_sets
from models.evaluation.tasks.task import CalibrationRows, Guarantees, Sets

_SAME_CELLS, _FEATURES = 64, 2048


@dataclass(frozen=True)
class Sample:
    """Some of the cells of held-out rows: M drawn at random, and P cells of each of the B rows, the same of all."""

    outputs: Outputs
    """[M, …]"""
    labels: NDArray[Any]
    """[M, …]"""
    fitting: NDArray[np.bool_]
    """[M] which are of rows that fit the scale."""
    same_outputs: Outputs
    """[B, …, P]"""
    same_labels: NDArray[Any]
    """[B, …, P]"""


def sample(
    session: HeadSession, rows: CalibrationRows, counts: NDArray[np.bool_], outputs: Sequence[str], answers: int
) -> Sample:
    """Draws from the cells [B, *G] that count; a few rows are run at a time.

    Args:
        answers: K or D, of which each cell has as many; the more there are, the fewer cells are the same.
    """
    axes, cells = counts.ndim - 1, int(np.prod(counts.shape[1:]))
    places = np.random.default_rng(0).permutation(cells)[: max(1, min(_SAME_CELLS, _FEATURES // answers))]
    same: dict[str, list[NDArray[Any]]] = {name: [] for name in outputs}

    def chunks() -> Iterator[tuple[NDArray[np.bool_], tuple[NDArray[Any], ...]]]:
        numbers = np.arange(len(counts)).reshape(-1, *[1] * axes)
        for part, found in session.run_in_parts(rows.inputs, outputs):
            for name in outputs:
                same[name].append(_flat(found[name], axes)[..., places])
            of_cells = np.broadcast_to(numbers[part], counts[part].shape)
            yield counts[part], (*(found[name] for name in outputs), rows.labels[part], of_cells)

    *found, labels, numbers = (np.moveaxis(array[0], -1, 0) for array in sample_cells(chunks(), int(counts.sum())))
    return Sample(
        outputs=dict(zip(outputs, found)),
        labels=labels,
        fitting=np.isin(numbers, rows.fitting),
        same_outputs={name: np.concatenate(parts) for name, parts in same.items()},
        same_labels=_flat(rows.labels, axes)[..., places],
    )


def row_outputs(found: Outputs) -> dict[str, NDArray[Any]]:
    """The outputs of a dense head that are those of rows."""
    return {name: values for name, values in found.items() if name.startswith("row_")}


def kept_curves(each: Sequence[Sequence[LossCurves]]) -> NDArray[Any]:
    """The loss curves of B rows, E each, as an array [B, E] like any other that is kept."""
    found = np.empty((len(each), len(each[0])), object)
    for row, of_row in enumerate(each):
        for index, one in enumerate(of_row):
            found[row, index] = one
    return found


def guarantee_sets(answers: Answers, guaranteeing: NDArray[np.int64], coverages: Sequence[float] | None) -> Guarantees:
    """Sets that on average hold a share of what is true of a row, from the curves of what they miss; cells of one row
    are not independent, rows are."""
    losses = join(answers.outputs["curves"][guaranteeing, 0].tolist())
    covered = conformal.COVERAGES if coverages is None else coverages
    return Guarantees(prediction_sets=risk_controlled_sets(losses, covered))


def kept_sets(head: Head, answers: Answers) -> Sets:
    """The share of what is true of a row that each set of the calibration holds, and the sets' mean size, as `keep` has
    put them down."""
    found = answers.outputs
    sets = head.calibration.prediction_sets if head.calibration else ()
    return {one.coverage: (found[f"held {one.coverage}"], found[f"size {one.coverage}"]) for one in sets}


def _flat(array: NDArray[Any], axes: int) -> NDArray[Any]:
    """An array with so many grid axes at its end as one with a single one."""
    return array.reshape(*array.shape[: array.ndim - axes], -1)
