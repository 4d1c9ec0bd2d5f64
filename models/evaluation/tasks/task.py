"""What calibration and evaluation need to know about a task; each kind of task has a file in this folder."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.calibration import Calibration, Interval, PredictionSet
from app.contract.head import Head
from app.contract.schema import Contract
from app.contract.tasks import Evaluation
from models import runtime
from models.evaluation import conformal
from models.evaluation.answers import Answers, Outputs
from models.evaluation.risk_bound import Losses

Sets = dict[float, tuple[NDArray[Any], NDArray[Any]]]
"""By guaranteed coverage: [B] whether the prediction set holds the true class, or the share of the true labels, or of
the cells' true classes, that it holds; and [B] its size, of a dense head the mean over its cells."""


@dataclass(frozen=True)
class CalibrationRows:
    """Held-out rows and the purpose of each half."""

    inputs: runtime.Inputs
    labels: NDArray[Any]
    fitting: NDArray[np.int64]
    """Rows that fit the scale."""
    guaranteeing: NDArray[np.int64]
    """Rows for the guarantees, which decide nothing before."""


@dataclass(frozen=True)
class Fit:
    """The scale of all submodels, fitted on held-out rows."""

    temperature: float
    outputs: Outputs
    """What it was fitted to: outputs of all rows that no scale changes, or at scale 1."""
    nll_before: float | None = None
    """Mean NLL of all rows in nats, at scale 1; None if nothing was fitted."""
    nll_after: float | None = None


@dataclass(frozen=True)
class Guarantees:
    """A task's guarantees for new rows, besides thresholds."""

    prediction_sets: tuple[PredictionSet, ...] = ()
    intervals: tuple[Interval, ...] = ()


class Region(NamedTuple):
    """A prediction set, or an interval of a target, and what became of its promise on B rows."""

    name: str
    coverage: float
    rows: int
    """Calibration rows on which it was found."""
    failed: NDArray[np.bool_]
    """[B] whether it does not hold what is true."""


class TaskEvaluator(ABC):
    """One kind of answer: how it is calibrated, and its figures once the truth is known."""

    error_name: ClassVar[str]
    """Name of the error that `mean_error` returns."""
    scaled: ClassVar[tuple[str, ...]] = ()
    """Those of the outputs `sufficient` for a recalibration that the temperature multiplies."""

    @abstractmethod
    def check_labels(self, head: Head, labels: NDArray[Any], sizes: tuple[int, ...]) -> None:
        """Checks labels against the head.

        Args:
            sizes: of the batch, and of the grid.

        Raises:
            DatasetError: no rows, or labels of another shape, dtype or range.
        """

    def check_guarantees(self, coverages: Sequence[float] | None, risks: Sequence[float] | None) -> None:
        """Checks that the task can guarantee such coverages and risks; by default both.

        Raises:
            ValueError: it cannot.
        """
        conformal.check_shares("coverages", coverages or ())
        conformal.check_shares("risks", risks or ())

    @abstractmethod
    def fit(self, model: onnx.ModelProto, contract: Contract, head: Head, rows: CalibrationRows) -> Fit:
        """Fits the scale on one half of the rows, and sets it in the model."""

    @abstractmethod
    def check_calibration(self, head: Head, rows: CalibrationRows, fit: Fit) -> list[str]:
        """Warnings of what the rows could hardly bear.

        Raises:
            CalibrationError: they cannot bear the calibration; see `models.evaluation.adequacy`.
        """

    def keep(self, head: Head, found: Outputs, labels: NDArray[Any] | None) -> Outputs:
        """What figures need of the outputs of a few rows, by plain name; by default all of them."""
        return found

    def keep_losses(self, head: Head, found: Outputs, labels: NDArray[Any]) -> Outputs:
        """What `wrong`, `guarantee` and the scores need of them; by default all."""
        return found

    @abstractmethod
    def wrong(self, answers: Answers) -> Losses | None:
        """[B] whether each answer is wrong, or of a dense head the share of its cells that are; None if answers are
        neither right nor wrong."""

    @abstractmethod
    def guarantee(
        self, answers: Answers, guaranteeing: NDArray[np.int64], coverages: Sequence[float] | None
    ) -> Guarantees:
        """Guarantees from the rows `guaranteeing`; the default coverages are those of `models.evaluation.conformal`."""

    @abstractmethod
    def evaluate(self, head: Head, data: str, answers: Answers) -> Evaluation:
        """The figures in a contract, from rows used for nothing else."""

    def log_losses(self, head: Head, answers: Answers) -> NDArray[np.float64] | None:
        """[B] the negative log-likelihood of each row, in nats; None, the default, if answers have none."""
        return None

    def regions(self, head: Head, answers: Answers) -> Iterator[Region]:
        """The prediction sets or intervals that the calibration promises; none by default."""
        return iter(())

    def errors(self, answers: Answers) -> NDArray[Any]:
        """[B, E] the errors of each row, which are averaged for reports; by default whether the answer is wrong."""
        return np.asarray(self.wrong(answers))[:, None]

    def mean_error(self, errors: NDArray[Any]) -> list[float]:
        """The mean of errors [B, E], as `error_name` calls it."""
        return errors.mean(axis=0).tolist()  # type: ignore[no-any-return]

    def prediction_sets(self, head: Head, answers: Answers) -> Sets:
        """Coverage and size of a calibration's prediction sets; none by default."""
        return {}

    def measure(self, head: Head, answers: Answers) -> dict[str, Any]:
        """Further figures of test rows, as JSON-compatible values; none by default."""
        return {}

    def measure_corrupted(self, head: Head, answers: Answers) -> dict[str, float]:
        """Figures of corrupted rows, as JSON-compatible values; none by default."""
        return {}

    def measure_ood(self, answers: Answers, ood: Outputs) -> dict[str, dict[str, float]]:
        """How well each score separates out-of-distribution rows from test rows; none by default."""
        return {}

    def describe_fit(self, calibration: Calibration) -> str:
        """Describes what a calibration fitted."""
        return (
            f"temperature {calibration.temperature:.4f}, NLL {calibration.nll_before:.4f} at temperature 1, "
            f"{calibration.nll_after:.4f} now"
        )

    @abstractmethod
    def describe(self, evaluation: Any) -> list[str]:
        """An evaluation of this task, as lines to print."""

    def describe_sets(self, coverage: float, held: NDArray[Any], sizes: NDArray[Any]) -> str:
        """Coverage and size of prediction sets, as `prediction_sets` gives them, as a line to print."""
        return (
            f"{100 * coverage:g} % prediction sets: contain the true class in {100 * held.mean():.1f} % of {len(held)} "
            f"rows, and {sizes.mean():.2f} classes on average"
        )

    def describe_ood(self, found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
        """How well scores detect each kind of out-of-distribution rows, as lines to print."""
        return [
            f"OOD, {kind}: told from test rows with AUROC/FPR95 "
            + ", ".join(f"{score} {one['auroc']:.3f}/{one['fpr95']:.3f}" for score, one in scores.items())
            for kind, scores in found.items()
        ]

    def describe_measured(self, measured: Mapping[str, Any]) -> list[str]:
        """What `models.evaluation.measurement` found, as lines to print."""
        return []


def four_decimals(values: Iterable[float]) -> str:
    """Numbers as figures are printed."""
    return " ".join(f"{value:.4f}" for value in values)
