"""Classification: one temperature for all submodels, prediction sets, and figures of probabilities and classes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks.classification import ClassificationEvaluation, prediction_set_members
from models import artefact
from models.data import DatasetError
from models.evaluation import adequacy, classifier_figures, conformal, curves
from models.evaluation.answers import Answers, Outputs
from models.evaluation.head_session import HeadSession
from models.evaluation.likelihood import (
    Floats,
    fit_temperature,
    log_mean_probability,
    negative_log_likelihood,
)
from models.evaluation.metrics import calibration_sums, top_calibration_error
from models.evaluation.tasks.task import CalibrationRows, Fit, Guarantees, Region, Sets, TaskEvaluator, four_decimals


class ClassificationEvaluator(TaskEvaluator):
    """Answers are classes, right or wrong, from probabilities."""

    error_name = "error"

    def check_labels(self, head: Head, labels: NDArray[Any], sizes: tuple[int, ...]) -> None:
        """An integer below the number of classes for each row."""
        classes = len(head.labels)
        if labels.dtype.kind not in "iu":  # without the shape: an .npz file's [B] has become a regressor's [B, 1]
            hint = "; labels [B, K] that are each on or off go with the task multilabel" * (labels.dtype.kind == "b")
            raise DatasetError(
                f"labels: expected whole numbers, one class index for each row, got {labels.dtype}{hint}"
            )
        if labels.shape != sizes:
            raise DatasetError(
                f"labels: expected one class index for each of the {sizes[0]} rows, got {list(labels.shape)}"
            )
        if not len(labels):
            raise DatasetError("there are no rows")
        wrong = (labels < 0) | (labels >= classes)
        if wrong.any():
            raise DatasetError(
                f"labels[{wrong.argmax()}]: expected 0 to {classes - 1} for the model's {classes} classes, "
                f"got {labels[wrong.argmax()]}; {wrong.sum()} of {len(labels)} labels are others"
            )

    def fit(self, model: onnx.ModelProto, contract: Contract, head: Head, rows: CalibrationRows) -> Fit:
        """Fits a temperature by the likelihood of the averaged probability."""
        labels = rows.labels
        logits = HeadSession(model, contract, head).run(rows.inputs, ["logits"])["logits"]
        # the logits are the graph's, before any temperature: what the file holds now does not matter
        best = 1.0 if _separated(logits, rows) else fit_temperature(logits[rows.fitting], labels[rows.fitting])
        temperature = artefact.set_temperature(model, head, best)
        return Fit(
            temperature,
            {"logits": logits},
            negative_log_likelihood(logits, labels, 1.0),
            negative_log_likelihood(logits, labels, temperature),
        )

    def check_calibration(self, head: Head, rows: CalibrationRows, fit: Fit) -> list[str]:
        """Refuses labels that fit no better than chance, and a temperature at the upper end of its range."""
        labels, logits = rows.labels, fit.outputs["logits"]
        warnings = adequacy.check_classes(labels, head.labels)
        probable = log_mean_probability(logits, fit.temperature)
        right = f"{100 * float((probable.argmax(axis=-1) == labels).mean()):.0f} % of {len(labels)} answers are right"
        above = adequacy.above_chance(probable, labels)
        return [
            *warnings,
            *adequacy.check_chance(above, right, "numbered as the classes are listed and in the order of the rows"),
            *adequacy.check_temperature(fit.temperature, right, len(rows.fitting) if _separated(logits, rows) else 0),
        ]

    def wrong(self, answers: Answers) -> NDArray[np.bool_]:
        """Whether a class other than the true one is predicted."""
        return np.asarray(answers.outputs["prediction"] != answers.labels)

    def guarantee(
        self, answers: Answers, guaranteeing: NDArray[np.int64], coverages: Sequence[float] | None
    ) -> Guarantees:
        """Prediction sets."""
        truth = answers.outputs["probabilities"][np.arange(len(answers)), answers.labels]
        covered = conformal.COVERAGES if coverages is None else coverages
        return Guarantees(prediction_sets=conformal.prediction_sets(truth[guaranteeing], covered))

    def evaluate(self, head: Head, data: str, answers: Answers) -> ClassificationEvaluation:
        """Accuracy, NLL, calibration error and curves."""
        found, labels = answers.outputs, answers.labels
        uncalibrated = np.exp(log_mean_probability(found["logits"], 1.0))
        confidence, right = found["probabilities"].max(axis=-1), ~self.wrong(answers)
        return ClassificationEvaluation(
            data=data,
            rows=len(answers),
            accuracy=float(right.mean()),
            # from the logits: p̄ in float32 may be 0
            nll=negative_log_likelihood(found["logits"], labels, head.temperature),
            ece=top_calibration_error(confidence, right),
            ece_uncalibrated=top_calibration_error(uncalibrated.max(axis=-1), uncalibrated.argmax(axis=-1) == labels),
            submodel_accuracy=tuple((found["submodels"].argmax(axis=-1) == labels[:, None]).mean(axis=0).tolist()),
            reliability=curves.reliability(calibration_sums(confidence, right)),
            risk_coverage=curves.risk_coverage(head, found, ~right),
        )

    def prediction_sets(self, head: Head, answers: Answers) -> Sets:
        """Whether each prediction set of the calibration holds the true class, and its size."""
        sets: Sets = {}
        for one in head.calibration.prediction_sets if head.calibration else ():
            order, sizes = prediction_set_members(one, answers.outputs["probabilities"])
            sets[one.coverage] = (order == answers.labels[:, None]).argmax(axis=-1) < sizes, sizes
        return sets

    def log_losses(self, head: Head, answers: Answers) -> NDArray[np.float64]:
        """−ln p̄ of the true class, from the logits."""
        log_p = log_mean_probability(answers.outputs["logits"], head.temperature)
        return np.asarray(-log_p[np.arange(len(answers)), answers.labels])

    def regions(self, head: Head, answers: Answers) -> Iterator[Region]:
        """Prediction sets."""
        sets = self.prediction_sets(head, answers)
        for one in head.calibration.prediction_sets if head.calibration else ():
            yield Region(f"prediction set {one.coverage:g}", one.coverage, one.rows, ~sets[one.coverage][0])

    def measure(self, head: Head, answers: Answers) -> dict[str, Any]:
        """See `models.evaluation.classifier_figures`."""
        return classifier_figures.predictive(answers, head.temperature)

    def measure_corrupted(self, head: Head, answers: Answers) -> dict[str, float]:
        """The same."""
        return classifier_figures.corrupted(answers, head.temperature)

    def measure_ood(self, answers: Answers, ood: Outputs) -> dict[str, dict[str, float]]:
        """The same."""
        return classifier_figures.detection(answers.outputs, ood)

    def describe(self, evaluation: ClassificationEvaluation) -> list[str]:
        """One line."""
        return [
            f"{evaluation.data}, {evaluation.rows} test rows: accuracy {evaluation.accuracy:.4f}, "
            f"NLL {evaluation.nll:.4f}, ECE {evaluation.ece:.4f} (uncalibrated {evaluation.ece_uncalibrated:.4f}); "
            f"submodels alone {four_decimals(evaluation.submodel_accuracy)}"
        ]

    def describe_measured(self, measured: Mapping[str, Any]) -> list[str]:
        """A line of figures, and one for each kind of out-of-distribution rows."""
        test = measured["test"]
        disagreement = "" if test["disagreement"] is None else f", disagreement {test['disagreement']:.4f}"
        return [
            f"Brier {test['brier']:.4f}, adaptive ECE {test['adaptive_ece']:.4f} "
            f"(uncalibrated {test['adaptive_ece_uncalibrated']:.4f}), AURC {test['aurc']['entropy']:.4f}{disagreement}",
            *self.describe_ood(measured["ood"]),
        ]


def _separated(logits: Floats, rows: CalibrationRows) -> bool:
    """Whether all submodels, logits [B, N, K], are right on all rows that fit: then the colder the likelier."""
    return bool((logits[rows.fitting].argmax(axis=-1) == rows.labels[rows.fitting, None]).all())
