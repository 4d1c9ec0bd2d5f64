"""Multilabel: one temperature for all submodels and labels, sets of labels, and figures of each label and of rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks.multilabel import MultilabelEvaluation, prediction_set_members
from models import artefact
from models.data import DatasetError
from models.evaluation import adequacy, conformal, multilabel_figures, risk_control
from models.evaluation.answers import Answers, Outputs
from models.evaluation.head_session import HeadSession
from models.evaluation.likelihood import Floats, binary_cross_entropy, fit_label_temperature, log_mean_labels
from models.evaluation.risk_bound import Losses
from models.evaluation.tasks.task import CalibrationRows, Fit, Guarantees, Sets, TaskEvaluator, four_decimals


class MultilabelEvaluator(TaskEvaluator):
    """Answers are K labels, each on or off; an answer is wrong if any of them is."""

    error_name = "rows with a wrong label"

    def check_labels(self, head: Head, labels: NDArray[Any], sizes: tuple[int, ...]) -> None:
        """True or false, or 1 or 0, for each row and label."""
        wanted = (sizes[0], len(head.labels))
        if labels.dtype.kind not in "biu" or labels.shape != wanted:
            raise DatasetError(
                f"labels: expected booleans, or whole numbers 0 and 1, [{wanted[0]}, {wanted[1]}], one for each row "
                f"and label, got {labels.dtype} {list(labels.shape)}"
            )
        if not len(labels):
            raise DatasetError("there are no rows")
        wrong = (labels != 0) & (labels != 1)
        if wrong.any():
            row, label = np.argwhere(wrong)[0]
            raise DatasetError(f"labels[{row}][{label}]: expected 0 or 1, got {labels[row, label]}")

    def fit(self, model: onnx.ModelProto, contract: Contract, head: Head, rows: CalibrationRows) -> Fit:
        """Fits a temperature by the likelihood of the averaged probabilities."""
        labels = rows.labels
        logits = HeadSession(model, contract, head).run(rows.inputs, ["logits"])["logits"]
        separated = _separated(logits, rows)
        best = 1.0 if separated else fit_label_temperature(logits[rows.fitting], labels[rows.fitting])
        temperature = artefact.set_temperature(model, head, best)
        return Fit(
            temperature,
            {"logits": logits},
            binary_cross_entropy(logits, labels, 1.0),
            binary_cross_entropy(logits, labels, temperature),
        )

    def check_calibration(self, head: Head, rows: CalibrationRows, fit: Fit) -> list[str]:
        """Refuses labels that fit no better than chance, and a temperature at the upper end of its range."""
        labels, logits = rows.labels, fit.outputs["logits"]
        warnings = adequacy.check_labels(labels, head.labels)
        log_p = log_mean_labels(logits, fit.temperature)
        right = float(((log_p[..., 1] > log_p[..., 0]) == (labels == 1)).mean())
        reached = f"{100 * right:.0f} % of the labels of {len(labels)} rows are right"
        above = adequacy.labels_above_chance(log_p[..., 1] - log_p[..., 0], labels)
        return [
            *warnings,
            *adequacy.check_chance(above, reached, "in the order of the labels' names and in that of the rows"),
            *adequacy.check_temperature(fit.temperature, reached, len(rows.fitting) if _separated(logits, rows) else 0),
        ]

    def wrong(self, answers: Answers) -> Losses:
        """Whether any label of a row is wrong."""
        return np.asarray((answers.outputs["prediction"] != answers.labels).any(axis=-1))

    def guarantee(
        self, answers: Answers, guaranteeing: NDArray[np.int64], coverages: Sequence[float] | None
    ) -> Guarantees:
        """Sets that on average hold a share of a row's true labels; labels of one row are not independent, rows are."""
        covered = conformal.COVERAGES if coverages is None else coverages
        probabilities, labels = answers.outputs["probabilities"][guaranteeing], answers.labels[guaranteeing]
        return Guarantees(prediction_sets=risk_control.label_sets(probabilities, labels == 1, covered))

    def evaluate(self, head: Head, data: str, answers: Answers) -> MultilabelEvaluation:
        """Right rows and labels, NLL and calibration error."""
        return multilabel_figures.reached(head, data, answers)

    def prediction_sets(self, head: Head, answers: Answers) -> Sets:
        """The share of a row's true labels that each set of the calibration holds, 1 where there are none; its size."""
        sets: Sets = {}
        truth = answers.labels == 1
        for one in head.calibration.prediction_sets if head.calibration else ():
            inside = prediction_set_members(one, answers.outputs["probabilities"])
            missed = (truth & ~inside).sum(axis=-1) / np.maximum(truth.sum(axis=-1), 1)
            sets[one.coverage] = 1 - missed, inside.sum(axis=-1)
        return sets

    def measure(self, head: Head, answers: Answers) -> dict[str, Any]:
        """See `models.evaluation.multilabel_figures`."""
        return multilabel_figures.predictive(head, answers)

    def measure_corrupted(self, head: Head, answers: Answers) -> dict[str, float]:
        """The same."""
        return multilabel_figures.corrupted(head, answers)

    def measure_ood(self, answers: Answers, ood: Outputs) -> dict[str, dict[str, float]]:
        """The same."""
        return multilabel_figures.detection(answers.outputs, ood)

    def describe(self, evaluation: MultilabelEvaluation) -> list[str]:
        """One line."""
        return [
            f"{evaluation.data}, {evaluation.rows} test rows: exact match {evaluation.exact_match:.4f}, "
            f"F1 {evaluation.micro_f1:.4f} (macro {evaluation.macro_f1:.4f}), NLL {evaluation.nll:.4f}, "
            f"Brier {evaluation.brier:.4f}, ECE {evaluation.ece:.4f} (uncalibrated {evaluation.ece_uncalibrated:.4f}); "
            f"submodels alone {four_decimals(evaluation.submodel_exact_match)}"
        ]

    def describe_sets(self, coverage: float, held: NDArray[Any], sizes: NDArray[Any]) -> str:
        """The share of true labels that they hold."""
        return (
            f"{100 * coverage:g} % prediction sets: contain {100 * held.mean():.1f} % of a row's true labels, the mean "
            f"over {len(held)} rows, and {sizes.mean():.2f} labels"
        )

    def describe_measured(self, measured: Mapping[str, Any]) -> list[str]:
        """A line for each label, one of figures, and one for each kind of out-of-distribution rows."""
        test = measured["test"]
        precision = test["mean_average_precision"]
        return [
            *(multilabel_figures.describe_label(one) for one in test["labels"]),
            f"mean average precision {'–' if precision is None else f'{precision:.4f}'}, "
            f"AURC {test['aurc']['entropy']:.4f}",
            *self.describe_ood(measured["ood"]),
        ]


def _separated(logits: Floats, rows: CalibrationRows) -> bool:
    """Whether all submodels, logits [B, N, K], are right on all labels that fit: then the colder the likelier."""
    return bool(((logits[rows.fitting] > 0) == (rows.labels[rows.fitting, None] == 1)).all())
