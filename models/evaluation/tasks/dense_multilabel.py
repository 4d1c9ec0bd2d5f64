"""Labels that are each on or off in the cells of maps or sequences: one temperature for all, sets that miss few of a
row's true labels, and figures of cells and of rows. No torch here."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks.multilabel import MultilabelEvaluation, prediction_set_members
from models import artefact
from models.data import DatasetError
from models.evaluation import adequacy, dense_label_figures
from models.evaluation.answers import Answers, Outputs
from models.evaluation.cells import error_shares
from models.evaluation.head_session import HeadSession
from models.evaluation.likelihood import binary_cross_entropy, fit_label_temperature, log_mean_labels
from models.evaluation.risk_bound import Losses
from models.evaluation.risk_control import label_losses
from models.evaluation.tasks.dense import guarantee_sets, kept_curves, kept_sets, row_outputs, sample
from models.evaluation.tasks.multilabel import MultilabelEvaluator
from models.evaluation.tasks.task import CalibrationRows, Fit, Guarantees, Sets


class DenseMultilabelEvaluator(MultilabelEvaluator):
    """Answers are K labels for each cell, each on or off; a row is wrong by the share of its labels that are."""

    error_name = "share of wrong labels"

    def check_labels(self, head: Head, labels: NDArray[Any], sizes: tuple[int, ...]) -> None:
        """True or false, or 1 or 0, for each row, label and cell."""
        wanted = (sizes[0], len(head.labels), *sizes[1:])
        if labels.dtype.kind not in "biu" or labels.shape != wanted:
            raise DatasetError(
                f"labels: expected booleans, or whole numbers 0 and 1, {list(wanted)}, one for each row, label and "
                f"cell, got {labels.dtype} {list(labels.shape)}"
            )
        if not len(labels):
            raise DatasetError("there are no rows")
        wrong = (labels != 0) & (labels != 1)
        if wrong.any():
            first = tuple(np.argwhere(wrong)[0].tolist())
            place = "".join(f"[{index}]" for index in first)
            raise DatasetError(f"labels{place}: expected 0 or 1, got {labels[first]}")

    def fit(self, model: onnx.ModelProto, contract: Contract, head: Head, rows: CalibrationRows) -> Fit:
        """Fits a temperature by the likelihood of the averaged probabilities of a sample of cells."""
        counts = np.ones((len(rows.labels), *rows.labels.shape[2:]), np.bool_)
        session = HeadSession(model, contract, head)
        found = sample(session, rows, counts, ["logits"], answers=len(head.labels))
        logits, labels, fitting = found.outputs["logits"], found.labels, found.fitting
        right = ((logits > 0) == (labels[:, None] == 1)).all(axis=(1, 2))
        separated = bool((right | ~fitting).all())
        best = 1.0 if separated else fit_label_temperature(logits[fitting], labels[fitting])
        temperature = artefact.set_temperature(model, head, best)
        return Fit(
            temperature,
            {
                "logits": logits, "labels": labels, "separated": np.array(fitting.sum() * separated),
                "same_logits": found.same_outputs["logits"], "same_labels": found.same_labels,
            },
            binary_cross_entropy(logits, labels, 1.0),
            binary_cross_entropy(logits, labels, temperature),
        )  # fmt: skip

    def check_calibration(self, head: Head, rows: CalibrationRows, fit: Fit) -> list[str]:
        """Refuses labels that fit no better than those of other rows, and a temperature at the upper end of its
        range."""
        found = fit.outputs
        warnings = adequacy.check_labels(found["labels"], head.labels, of="cell")
        log_p = log_mean_labels(found["logits"], fit.temperature)
        right = float(((log_p[..., 1] > log_p[..., 0]) == (found["labels"] == 1)).mean())
        reached = f"{100 * right:.0f} % of the labels of {len(log_p)} cells are right"
        same = log_mean_labels(found["same_logits"], fit.temperature)
        above = adequacy.labels_above_chance(
            (same[..., 1] - same[..., 0]).reshape(len(same), -1), found["same_labels"].reshape(len(same), -1)
        )
        return [
            *warnings,
            *adequacy.check_chance(above, reached, "in the order of the labels' names and in that of the rows"),
            *adequacy.check_temperature(fit.temperature, reached, int(found["separated"]), of="cell"),
        ]

    def keep(self, head: Head, found: Outputs, labels: NDArray[Any] | None) -> Outputs:
        """The outputs of rows; with labels also summaries (see `dense_label_figures`), and `held …` and `size …` of
        the calibration's sets."""
        kept = row_outputs(found)
        if labels is None:
            return kept
        truth, probabilities = labels == 1, found["probabilities"]
        kept |= dense_label_figures.summaries(found, truth, head.temperature)
        for one in head.calibration.prediction_sets if head.calibration else ():
            inside = prediction_set_members(one, probabilities)
            missed, true = (which.reshape(len(truth), -1).sum(axis=-1) for which in (truth & ~inside, truth))
            kept[f"held {one.coverage}"] = 1 - missed / np.maximum(true, 1)
            kept[f"size {one.coverage}"] = inside.reshape(len(truth), -1).sum(axis=-1) / truth[0, 0].size
        return kept

    def keep_losses(self, head: Head, found: Outputs, labels: NDArray[Any]) -> Outputs:
        """The outputs of rows, the share of labels that is `wrong`, and the `curves` of what sets miss."""
        kept, truth, probabilities = row_outputs(found), labels == 1, found["probabilities"]
        each = [[label_losses(probabilities[row : row + 1], truth[row : row + 1])] for row in range(len(truth))]
        return kept | {"wrong": error_shares((found["prediction"] == 1) != truth), "curves": kept_curves(each)}

    def wrong(self, answers: Answers) -> Losses:
        """The share of wrong labels of all cells."""
        return answers.outputs["wrong"]

    def guarantee(
        self, answers: Answers, guaranteeing: NDArray[np.int64], coverages: Sequence[float] | None
    ) -> Guarantees:
        """Sets that on average hold a share of the true labels of all cells of a row."""
        return guarantee_sets(answers, guaranteeing, coverages)

    def evaluate(self, head: Head, data: str, answers: Answers) -> MultilabelEvaluation:
        """Right cells and labels, NLL and calibration error."""
        return dense_label_figures.reached(head, data, answers.outputs)

    def prediction_sets(self, head: Head, answers: Answers) -> Sets:
        """The share of a row's true labels that each set of the calibration holds, and the sets' mean size."""
        return kept_sets(head, answers)

    def measure(self, head: Head, answers: Answers) -> dict[str, Any]:
        """None beyond those of the contract."""
        return {}

    def measure_corrupted(self, head: Head, answers: Answers) -> dict[str, float]:
        """None."""
        return {}

    def measure_ood(self, answers: Answers, ood: Outputs) -> dict[str, dict[str, float]]:
        """None."""
        return {}
