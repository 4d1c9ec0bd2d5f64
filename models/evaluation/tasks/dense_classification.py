"""Classification of the cells of maps or sequences: one temperature for all submodels and cells, sets that miss few of
a row's cells, and figures of cells and of rows. No torch here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks.classification import DenseClassificationEvaluation, dense_set_members
from models import artefact
from models.data import DatasetError
from models.evaluation import adequacy, curves, dense_figures, metrics
from models.evaluation.answers import Answers, Outputs
from models.evaluation.cells import counted, error_shares
from models.evaluation.head_session import HeadSession
from models.evaluation.likelihood import fit_temperature, log_mean_probability, negative_log_likelihood
from models.evaluation.risk_bound import Losses
from models.evaluation.risk_control import class_losses
from models.evaluation.tasks.dense import guarantee_sets, kept_curves, kept_sets, row_outputs, sample
from models.evaluation.tasks.task import CalibrationRows, Fit, Guarantees, Sets, TaskEvaluator, four_decimals


class DenseClassificationEvaluator(TaskEvaluator):
    """Answers are classes of cells; a row is wrong by the share of its cells that are."""

    error_name = "share of wrong cells"

    def check_labels(self, head: Head, labels: NDArray[Any], sizes: tuple[int, ...]) -> None:
        """An integer below the number of classes for each cell, or −1 for one that does not count; not all are −1."""
        classes = len(head.labels)
        if labels.dtype.kind not in "iu" or labels.shape != sizes:
            raise DatasetError(
                f"labels: expected whole numbers {list(sizes)}, one class index for each cell of the rows, "
                f"got {labels.dtype} {list(labels.shape)}"
            )
        if not len(labels):
            raise DatasetError("there are no rows")
        wrong = (labels < -1) | (labels >= classes)
        if wrong.any():
            first = tuple(np.argwhere(wrong)[0].tolist())
            raise DatasetError(
                f"labels{''.join(f'[{index}]' for index in first)}: expected 0 to {classes - 1} for the model's "
                f"{classes} classes, or -1 for a cell that does not count, got {labels[first]}; "
                f"{wrong.sum()} of {labels.size} labels are others"
            )
        if not counted(labels).any():
            raise DatasetError("labels: no cell counts, all are -1")

    def fit(self, model: onnx.ModelProto, contract: Contract, head: Head, rows: CalibrationRows) -> Fit:
        """Fits a temperature by the likelihood of the averaged probability of a sample of cells."""
        found = sample(
            HeadSession(model, contract, head), rows, counted(rows.labels), ["logits"], answers=len(head.labels)
        )
        logits, labels, fitting = found.outputs["logits"], found.labels, found.fitting
        separated = bool(((logits.argmax(axis=-1) == labels[:, None]) | ~fitting[:, None]).all())
        best = 1.0 if separated else fit_temperature(logits[fitting], labels[fitting])
        temperature = artefact.set_temperature(model, head, best)
        return Fit(
            temperature,
            {
                "logits": logits, "labels": labels, "separated": np.array(fitting.sum() * separated),
                "same_logits": found.same_outputs["logits"], "same_labels": found.same_labels,
            },
            negative_log_likelihood(logits, labels, 1.0),
            negative_log_likelihood(logits, labels, temperature),
        )  # fmt: skip

    def check_calibration(self, head: Head, rows: CalibrationRows, fit: Fit) -> list[str]:
        """Refuses labels that fit no better than those of other rows, and a temperature at the upper end of its
        range."""
        found = fit.outputs
        warnings = adequacy.check_classes(rows.labels[counted(rows.labels)], head.labels, of="cell")
        probable = log_mean_probability(found["logits"], fit.temperature).argmax(axis=-1) == found["labels"]
        right = f"{100 * float(probable.mean()):.0f} % of {len(probable)} cells are right"
        # the cells of a row stay together, since they are not independent
        probabilities = log_mean_probability(found["same_logits"], fit.temperature)
        truth = found["same_labels"][:, None] == np.arange(len(head.labels))[:, None]
        above = adequacy.labels_above_chance(probabilities.reshape(len(truth), -1), truth.reshape(len(truth), -1))
        return [
            *warnings,
            *adequacy.check_chance(above, right, "numbered as the classes are listed and in the order of the rows"),
            *adequacy.check_temperature(fit.temperature, right, int(found["separated"]), of="cell"),
        ]

    def keep(self, head: Head, found: Outputs, labels: NDArray[Any] | None) -> Outputs:
        """The outputs of rows; with labels also summaries (see `dense_figures`), and `held …` and `size …` of the
        calibration's sets."""
        kept = row_outputs(found)
        if labels is None:
            return kept
        kept |= dense_figures.summaries(found, labels, head.temperature)
        for one in head.calibration.prediction_sets if head.calibration else ():
            inside = dense_set_members(one, found["probabilities"])
            true = np.take_along_axis(inside, np.maximum(labels, 0)[:, None], axis=1)[:, 0]
            kept[f"held {one.coverage}"] = 1 - error_shares(~true, counted(labels))
            kept[f"size {one.coverage}"] = inside.reshape(len(labels), -1).sum(axis=-1) / labels[0].size
        return kept

    def keep_losses(self, head: Head, found: Outputs, labels: NDArray[Any]) -> Outputs:
        """The outputs of rows, the share of cells that is `wrong`, and the `curves` of what sets miss."""
        kept, probabilities = row_outputs(found), found["probabilities"]
        each = [[class_losses(probabilities[row : row + 1], labels[row : row + 1])] for row in range(len(labels))]
        wrong = error_shares(found["prediction"] != labels, counted(labels))
        return kept | {"wrong": wrong, "curves": kept_curves(each)}

    def wrong(self, answers: Answers) -> Losses:
        """The share of wrong cells."""
        return answers.outputs["wrong"]

    def guarantee(
        self, answers: Answers, guaranteeing: NDArray[np.int64], coverages: Sequence[float] | None
    ) -> Guarantees:
        """Sets of classes that on average hold a share of a row's cells; cells of one row are not independent, rows
        are."""
        return guarantee_sets(answers, guaranteeing, coverages)

    def evaluate(self, head: Head, data: str, answers: Answers) -> DenseClassificationEvaluation:
        """Accuracy, overlap, NLL and calibration error of cells, and what the scores of rows are worth."""
        rows = answers.outputs
        found, some = dense_figures.figures(rows), rows["cells"] > 0
        kept = ("rows", "cells", "accuracy", "mean_iou", "nll", "ece", "ece_uncalibrated", "row_ece")
        ranking = {"confidence" if name == "max_probability" else name: of for name, of in found["ranking"].items()}
        return DenseClassificationEvaluation(
            data=data,
            **{name: found[name] for name in kept},
            submodel_accuracy=tuple(found["submodel_accuracy"]),
            reliability=curves.reliability(rows["bins"].sum(axis=0)),
            risk_coverage=curves.risk_coverage(
                head, {name: rows[name][some] for name in row_outputs(rows)}, rows["wrong"][some]
            ),
            **{
                name: {score: of[name] for score, of in ranking.items() if of[name] is not None}
                for name in ("auroc_worst_tenth", "spearman")
            },
        )

    def prediction_sets(self, head: Head, answers: Answers) -> Sets:
        """The share of a row's cells whose true class each set of the calibration holds, and the sets' mean size."""
        return kept_sets(head, answers)

    def measure(self, head: Head, answers: Answers) -> dict[str, Any]:
        """See `models.evaluation.dense_figures`."""
        return dense_figures.figures(answers.outputs)

    def measure_corrupted(self, head: Head, answers: Answers) -> dict[str, float]:
        """Accuracy, mean IoU, ECE before and after calibration, and mean uncertainty, for one corruption."""
        found = dense_figures.figures(answers.outputs)
        names = ("accuracy", "mean_iou", "ece_uncalibrated", "ece", "entropy", "mutual_information")
        return {name: found[name] for name in names}

    def measure_ood(self, answers: Answers, ood: Outputs) -> dict[str, dict[str, float]]:
        """AUROC, AUPR and FPR95 of each score of rows."""
        strange = dense_figures.row_scores(ood)
        test = dense_figures.row_scores(answers.outputs)
        return {score: metrics.detection(values, strange[score]) for score, values in test.items()}

    def describe(self, evaluation: DenseClassificationEvaluation) -> list[str]:
        """A line of cells, and one of the scores of rows."""
        worst, ranks = evaluation.auroc_worst_tenth, evaluation.spearman
        told = [
            f"{score} {'–' if score not in worst else f'{worst[score]:.3f}'}/"
            f"{'–' if score not in ranks else f'{ranks[score]:.3f}'}"
            for score in dict.fromkeys((*worst, *ranks))
        ]
        return [
            f"{evaluation.data}, {evaluation.cells} cells of {evaluation.rows} test rows: "
            f"accuracy {evaluation.accuracy:.4f}, mean IoU {evaluation.mean_iou:.4f}, NLL {evaluation.nll:.4f}, "
            f"ECE {evaluation.ece:.4f} (uncalibrated {evaluation.ece_uncalibrated:.4f}), of rows "
            f"{evaluation.row_ece:.4f}; submodels alone {four_decimals(evaluation.submodel_accuracy)}",
            *([f"rows ranked by their errors, AUROC of the worst tenth/Spearman: {', '.join(told)}"] if told else []),
        ]

    def describe_sets(self, coverage: float, held: NDArray[Any], sizes: NDArray[Any]) -> str:
        """The share of cells whose true class they hold."""
        return (
            f"{100 * coverage:g} % prediction sets: contain the true class in {100 * held.mean():.1f} % of a row's "
            f"cells, the mean over {len(held)} rows, and {sizes.mean():.2f} classes on average"
        )

    def describe_measured(self, measured: Mapping[str, Any]) -> list[str]:
        """A line of figures, and one for each kind of out-of-distribution rows."""
        test = measured["test"]
        overlaps = " ".join("–" if one is None else f"{one:.4f}" for one in test["iou"])
        return [f"IoU {overlaps}; AURC {test['aurc']['entropy']:.4f}", *self.describe_ood(measured["ood"])]
