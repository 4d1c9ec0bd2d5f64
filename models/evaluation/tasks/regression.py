"""Regression: one factor on all predicted variances, intervals, and figures of errors and widths. No torch here."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.calibration import Calibration
from app.contract.curves import LevelCoverage
from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks.regression import RegressionEvaluation
from models import artefact
from models.data import DatasetError
from models.evaluation import adequacy, conformal, curves
from models.evaluation.adequacy import CalibrationError
from models.evaluation.answers import Answers
from models.evaluation.head_session import HeadSession
from models.evaluation.likelihood import VARIANCE_FACTORS, Floats, edge, fit_variance_factor, log_mixture
from models.evaluation.tasks.task import CalibrationRows, Fit, Guarantees, Region, TaskEvaluator, four_decimals


class RegressionEvaluator(TaskEvaluator):
    """Answers are D numbers, each with a variance; errors are distances from the true values."""

    error_name = "RMSE"
    scaled = ("submodel_variances",)

    def check_labels(self, head: Head, labels: NDArray[Any], sizes: tuple[int, ...]) -> None:
        """A finite number for each row and target."""
        wanted = (sizes[0], len(head.targets))
        if labels.dtype.kind != "f" or labels.shape != wanted:
            raise DatasetError(
                f"labels: expected true values [{wanted[0]}, {wanted[1]}], one for each row and target, "
                f"got {labels.dtype} {list(labels.shape)}"
            )
        if not len(labels):
            raise DatasetError("there are no rows")
        wrong = ~np.isfinite(labels)
        if wrong.any():
            row, target = np.argwhere(wrong)[0]
            raise DatasetError(f"labels[{row}][{target}]: expected finite numbers, got {labels[row, target]:g}")

    def check_guarantees(self, coverages: Sequence[float] | None, risks: Sequence[float] | None) -> None:
        """Only coverages can be guaranteed."""
        if risks is not None:
            raise ValueError("risks: a regressor's answers are neither right nor wrong, give coverages alone")
        conformal.check_shares("coverages", coverages or ())

    def fit(self, model: onnx.ModelProto, contract: Contract, head: Head, rows: CalibrationRows) -> Fit:
        """Fits a factor on the variances if the submodels predict any; otherwise there is nothing to fit."""
        truth = rows.labels
        if not head.has_temperature:
            return Fit(1.0, HeadSession(model, contract, head).run(rows.inputs, ["prediction"]))
        # the graph multiplies variances by T: at 1 it gives what the network predicts
        artefact.set_temperature(model, head, 1.0)
        raw = HeadSession(model, contract, head).run(rows.inputs, ["prediction", "submodels", "submodel_variances"])
        means, variances = raw["submodels"], raw["submodel_variances"]
        fitted = fit_variance_factor(truth[rows.fitting], means[rows.fitting], variances[rows.fitting])
        temperature = artefact.set_temperature(model, head, fitted)
        before, after = (float(-log_mixture(truth, means, t * variances).mean()) for t in (1.0, temperature))
        return Fit(temperature, raw, before, after)

    def check_calibration(self, head: Head, rows: CalibrationRows, fit: Fit) -> list[str]:
        """Refuses constant targets and a factor at the upper end of its range."""
        truth, names = rows.labels, [target.name for target in head.targets]
        adequacy.check_targets(truth, names)
        at = edge(fit.temperature, VARIANCE_FACTORS) if head.has_temperature else None
        if at == "highest":
            raise CalibrationError(
                "calibration: the best factor on variances is at the end of its range: errors are 20 times as large as "
                "predicted, or more. Check that the network gives ln variances after the means, that true values and "
                "predictions have the same unit, and that the true values are in the order of the rows"
            )
        warnings = []
        if at == "lowest":  # intervals are too wide, never too narrow
            warnings.append(
                "the best factor on variances is at the end of its range: errors are a twentieth of the predicted, or "
                "less; check that the network gives ln variances, and that the rows took no part in training"
            )
        above = adequacy.correlation_above_chance(fit.outputs["prediction"], truth)
        return warnings + [
            f"the predictions of {name!r} go with the true values of the {len(truth)} rows hardly better than in "
            "random order: check that both are in the order of the rows and of the targets"
            for name, deviations in zip(names, above)
            if deviations < adequacy.CLEAR
        ]

    def wrong(self, answers: Answers) -> None:
        """Answers are neither right nor wrong."""

    def guarantee(
        self, answers: Answers, guaranteeing: NDArray[np.int64], coverages: Sequence[float] | None
    ) -> Guarantees:
        """Intervals; there are none if the variance is 0, as for a single network that predicts none."""
        errors, spread = _distances(answers)
        with np.errstate(divide="ignore", invalid="ignore"):
            # 0/0: an exact answer needs no width, whatever its variance
            scores = np.where(errors == 0, 0, errors / spread)
        covered = conformal.INTERVALS if coverages is None else coverages
        return Guarantees(intervals=conformal.intervals(scores[guaranteeing], covered))

    def evaluate(self, head: Head, data: str, answers: Answers) -> RegressionEvaluation:
        """Errors, NLL and curves if variances are predicted, and coverage and width of the intervals."""
        found, (errors, spread) = answers.outputs, _distances(answers)
        nll, levels = None, tuple[LevelCoverage, ...]()
        if head.has_temperature:
            mixture = answers.labels, found["submodels"], found["submodel_variances"]
            nll = float(-log_mixture(*mixture).mean())
            levels = curves.level_coverage(curves.within_levels(*mixture).mean(axis=1))
        kept = head.calibration.intervals if head.calibration else ()
        reach = {f"{100 * interval.coverage:g}": spread * np.array(interval.factors) for interval in kept}
        return RegressionEvaluation(
            data=data,
            rows=len(answers),
            rmse=tuple(np.sqrt(np.square(errors).mean(axis=0)).tolist()),
            nll=nll,
            coverage={percent: tuple((errors <= far).mean(axis=0).tolist()) for percent, far in reach.items()},
            width={percent: tuple((2 * far).mean(axis=0).tolist()) for percent, far in reach.items()},
            coverage_by_level=levels,
            risk_coverage=curves.error_coverage(head, found, np.square(errors)),
        )

    def log_losses(self, head: Head, answers: Answers) -> NDArray[np.float64] | None:
        """−ln density under the mixture; None if no variance is predicted."""
        found = answers.outputs
        if not head.has_temperature:
            return None
        return -log_mixture(answers.labels, found["submodels"], found["submodel_variances"])

    def regions(self, head: Head, answers: Answers) -> Iterator[Region]:
        """Each interval of each target: they are promised one by one."""
        errors, spread = _distances(answers)
        for one in head.calibration.intervals if head.calibration else ():
            failed = errors > spread * np.array(one.factors)
            for target, of_target in zip(head.targets, failed.T):
                yield Region(f"interval {one.coverage:g} {target.name}", one.coverage, one.rows, of_target)

    def errors(self, answers: Answers) -> NDArray[Any]:
        """[B, D] squared, in squared units of the targets."""
        return np.asarray(np.square(answers.outputs["prediction"].astype(np.float64) - answers.labels))

    def mean_error(self, errors: NDArray[Any]) -> list[float]:
        """The root of the mean squared error of each target, in its unit."""
        return np.sqrt(errors.mean(axis=0)).tolist()  # type: ignore[no-any-return]

    def describe_fit(self, calibration: Calibration) -> str:
        """As for other tasks; says so if nothing was fitted."""
        if calibration.nll_before is None:
            return "no variance is predicted, so no temperature is fitted"
        return super().describe_fit(calibration)

    def describe(self, evaluation: RegressionEvaluation) -> list[str]:
        """A line of errors, and one for each interval."""
        nll = "" if evaluation.nll is None else f", NLL {evaluation.nll:.4f}"
        return [
            f"{evaluation.data}, {evaluation.rows} test rows: RMSE {four_decimals(evaluation.rmse)}{nll}",
            *(
                f"{percent} % intervals: contain {', '.join(f'{100 * share:.1f}' for share in shares)} % of the true "
                f"values, and are {', '.join(f'{width:.4g}' for width in evaluation.width[percent])} wide on average"
                for percent, shares in evaluation.coverage.items()
            ),
        ]


def _distances(answers: Answers) -> tuple[Floats, Floats]:
    """[B, D] |y − prediction|, and √variance, both in units of the targets, float64."""
    errors = np.abs(answers.labels.astype(np.float64) - answers.outputs["prediction"])
    return errors, np.sqrt(answers.outputs["variance"].astype(np.float64))
