"""Regression for the cells of maps or sequences: one factor on all predicted variances, intervals that miss few of a
row's cells, and figures of errors and widths. No torch here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks.regression import RegressionEvaluation
from app.contract.tasks.task import row_output
from models import artefact
from models.data import DatasetError
from models.evaluation import conformal, curves
from models.evaluation.answers import Answers, Outputs
from models.evaluation.head_session import HeadSession
from models.evaluation.likelihood import Floats, fit_variance_factor, log_mixture
from models.evaluation.risk_control import join, risk_controlled_intervals, value_losses
from models.evaluation.tasks.dense import kept_curves, row_outputs, sample
from models.evaluation.tasks.regression import RegressionEvaluator
from models.evaluation.tasks.task import CalibrationRows, Fit, Guarantees


class DenseRegressionEvaluator(RegressionEvaluator):
    """Answers are D numbers for each cell, with variances; errors are distances from the true values."""

    error_name = "RMSE of cells"

    def check_labels(self, head: Head, labels: NDArray[Any], sizes: tuple[int, ...]) -> None:
        """A finite number for each row, target and cell."""
        wanted = (sizes[0], len(head.targets), *sizes[1:])
        if labels.dtype.kind != "f" or labels.shape != wanted:
            raise DatasetError(
                f"labels: expected true values {list(wanted)}, one for each row, target and cell, "
                f"got {labels.dtype} {list(labels.shape)}"
            )
        if not len(labels):
            raise DatasetError("there are no rows")
        wrong = ~np.isfinite(labels)
        if wrong.any():
            first = tuple(np.argwhere(wrong)[0].tolist())
            place = "".join(f"[{index}]" for index in first)
            raise DatasetError(f"labels{place}: expected finite numbers, got {labels[first]:g}")

    def fit(self, model: onnx.ModelProto, contract: Contract, head: Head, rows: CalibrationRows) -> Fit:
        """Fits a factor on the variances to a sample of cells if the submodels predict any; otherwise there is nothing
        to fit."""
        means = HeadSession(model, contract, head).run(rows.inputs, [row_output("prediction")])
        found = {"prediction": means[row_output("prediction")]}
        if not head.has_temperature:
            return Fit(1.0, found)
        # the graph multiplies variances by T: at 1 it gives what the network predicts
        artefact.set_temperature(model, head, 1.0)
        counts = np.ones((len(rows.labels), *rows.labels.shape[2:]), np.bool_)
        names, session = ["submodels", "submodel_variances"], HeadSession(model, contract, head)
        cells = sample(session, rows, counts, names, answers=len(head.targets))
        values = cells.labels, *(cells.outputs[name] for name in names)
        fitted = fit_variance_factor(*(array[cells.fitting] for array in values))
        temperature = artefact.set_temperature(model, head, fitted)
        truth, submodels, variances = values
        before, after = (float(-log_mixture(truth, submodels, t * variances).mean()) for t in (1.0, temperature))
        return Fit(temperature, found, before, after)

    def check_calibration(self, head: Head, rows: CalibrationRows, fit: Fit) -> list[str]:
        """As for rows without a grid, of the means of rows over it."""
        truth = rows.labels.reshape(*rows.labels.shape[:2], -1).mean(axis=-1, dtype=np.float64)
        means = CalibrationRows(rows.inputs, truth, rows.fitting, rows.guaranteeing)
        return super().check_calibration(head, means, fit)

    def keep(self, head: Head, found: Outputs, labels: NDArray[Any] | None) -> Outputs:
        """The outputs of rows; with labels also means over cells: `squared` errors [B, D], where variances are
        predicted `nll` [B] and `within` [B, L, D] (see `within_levels`), and `held …` and `width …` [B, D] of the
        calibration's intervals."""
        kept = row_outputs(found)
        if labels is None:
            return kept
        errors = np.abs(labels.astype(np.float64) - found["prediction"])
        kept["squared"] = _means(np.square(errors))
        if head.has_temperature:
            mixture = labels, found["submodels"], found["submodel_variances"]
            kept["nll"] = -log_mixture(*mixture).reshape(len(labels), -1).mean(axis=-1)
            kept["within"] = np.stack([_means(of_level) for of_level in curves.within_levels(*mixture)], axis=1)
        spread = np.sqrt(found["variance"].astype(np.float64))
        for one in head.calibration.intervals if head.calibration else ():
            reach = spread * np.array(one.factors).reshape(-1, *[1] * len(head.grid))
            kept[f"held {one.coverage}"] = _means(errors <= reach)
            kept[f"width {one.coverage}"] = _means(2 * reach)
        return kept

    def keep_losses(self, head: Head, found: Outputs, labels: NDArray[Any]) -> Outputs:
        """The outputs of rows, and the `curves` [B, D] of what intervals miss."""
        values = labels, found["prediction"], found["variance"]
        each = [value_losses(*(one[row : row + 1] for one in values)) for row in range(len(labels))]
        return row_outputs(found) | {"curves": kept_curves(each)}

    def guarantee(
        self, answers: Answers, guaranteeing: NDArray[np.int64], coverages: Sequence[float] | None
    ) -> Guarantees:
        """Intervals that on average hold a share of a row's cells; none if the variance is 0."""
        covered = conformal.INTERVALS if coverages is None else coverages
        losses = [join(of_target.tolist()) for of_target in answers.outputs["curves"][guaranteeing].T]
        return Guarantees(intervals=risk_controlled_intervals(losses, covered))

    def evaluate(self, head: Head, data: str, answers: Answers) -> RegressionEvaluation:
        """Errors, NLL if variances are predicted, and coverage and width of the intervals, of cells."""
        found = answers.outputs
        kept = {f"{100 * one.coverage:g}": one for one in (head.calibration.intervals if head.calibration else ())}
        return RegressionEvaluation(
            data=data,
            rows=len(answers),
            rmse=tuple(self.mean_error(found["squared"])),
            nll=float(found["nll"].mean()) if "nll" in found else None,
            coverage_by_level=curves.level_coverage(found["within"].mean(axis=0)) if "within" in found else (),
            risk_coverage=curves.error_coverage(head, found, found["squared"]),
            **{
                name: {
                    percent: tuple(found[f"{what} {one.coverage}"].mean(axis=0).tolist())
                    for percent, one in kept.items()
                }
                for name, what in (("coverage", "held"), ("width", "width"))
            },
        )

    def errors(self, answers: Answers) -> NDArray[Any]:
        """[B, D] squared, the means over cells, in squared units of the targets."""
        return answers.outputs["squared"]


def _means(values: NDArray[Any]) -> Floats:
    """Means [B, D] over cells [B, D, *G]."""
    return np.asarray(values.reshape(*values.shape[:2], -1).mean(axis=-1))
