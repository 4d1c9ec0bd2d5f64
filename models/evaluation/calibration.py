"""Calibrates on held-out rows: one temperature for all submodels, the quantiles of each score, and guarantees for new
rows.

Works on the artefact's own outputs, so a finished file can be recalibrated without its network. No torch here.

One half of the rows fits the temperature; the other half gives the guarantees, which only hold for rows that have
decided nothing before. The quantiles are those of all rows. The halves are drawn at random with a fixed seed: otherwise
data whose every second row is of one class would be split by class.
"""

import logging
from collections.abc import Sequence
from itertools import chain

import numpy as np
import onnx

from app.contract.calibration import Calibration, Threshold
from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks import TaskName
from models import progress
from models.data import Split
from models.data.dataset import shuffled
from models.evaluation import conformal
from models.evaluation.adequacy import check_number
from models.evaluation.likelihood import Floats
from models.evaluation.respondent import Respondent
from models.evaluation.rows import check_rows
from models.evaluation.tasks import TASKS, evaluator_of
from models.evaluation.tasks.task import CalibrationRows

_log = logging.getLogger(__name__)


@progress.step("calibrate")
def calibrate(
    model: onnx.ModelProto,
    contract: Contract,
    head: Head,
    data: str,
    split: Split,
    *,
    coverages: Sequence[float] | None = None,
    risks: Sequence[float] | None = None,
) -> Calibration:
    """Fits a head's temperature on a split, sets it in the artefact, then measures the scores and derives the
    guarantees.

    Args:
        data: names the split.
        coverages: of thresholds, prediction sets and intervals; by default those of `models.evaluation.conformal`.
        risks: of thresholds, if answers are right or wrong; the same default.

    A regressor that predicts no variance has no temperature and no scores. Its intervals follow from how far its
    submodels differ; if they do not, as in a single network, there are none.

    What the rows can hardly bear becomes a warning in the calibration, and is logged.

    Raises:
        DatasetError: the split does not fit the contract; see `check_rows`.
        CalibrationError: it fits, but cannot bear a calibration; see `models.evaluation.adequacy`.
        ValueError: coverages or risks that cannot be guaranteed.
    """
    check_guarantees(head.task, coverages, risks)
    check_rows(contract, split)
    warnings = check_number(len(split))
    task, order = evaluator_of(head), shuffled(len(split), seed=0)
    rows = CalibrationRows(split.inputs, split.labels_of(head), fitting=order[::2], guaranteeing=order[1::2])
    fit = task.fit(model, contract, head, rows)
    warnings += task.check_calibration(head, rows, fit)
    for warning in warnings:
        _log.warning("calibrate: %s", warning)
    answers = Respondent(model, contract, head).answer_to_guarantee(split)
    wrong, scores = task.wrong(answers), head.score_values(answers.outputs)
    thresholds: chain[Threshold] = chain.from_iterable(
        conformal.thresholds(
            score,
            values[rows.guaranteeing],
            None if wrong is None else wrong[rows.guaranteeing],
            conformal.COVERAGES if coverages is None else coverages,
            conformal.RISKS if risks is None else risks,
        )
        for score, values in scores.items()
    )
    guarantees = task.guarantee(answers, rows.guaranteeing, coverages)
    return Calibration(
        data=data,
        rows=len(split),
        temperature=fit.temperature,
        nll_before=fit.nll_before,
        nll_after=fit.nll_after,
        quantiles={score: _quantiles(values) for score, values in scores.items()},
        thresholds=tuple(thresholds),
        prediction_sets=guarantees.prediction_sets,
        intervals=guarantees.intervals,
        warnings=tuple(warnings),
    )


def check_guarantees(task: TaskName, coverages: Sequence[float] | None, risks: Sequence[float] | None) -> None:
    """Checks that the requested guarantees are possible, before anything is computed.

    Raises:
        ValueError: a number is not strictly between 0 and 1 or appears twice, or the task has no such guarantee.
    """
    TASKS[task].check_guarantees(coverages, risks)


def _quantiles(values: Floats) -> tuple[float, ...]:
    """The quantiles 0 %, 1 %, … 100 %, to seven digits, in ascending order."""
    table = np.quantile(values.astype(np.float64), np.linspace(0, 1, 101))
    # interpolation may round a quantile below the one before it
    return tuple(float(f"{value:.7g}") for value in np.maximum.accumulate(table))
