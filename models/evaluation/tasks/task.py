"""What calibration and evaluation must know of a task; each kind of task is a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from app.contract.calibration import Calibration, Interval, PredictionSet
from app.contract.schema import Contract
from app.contract.tasks import Evaluation
from models.data import Split
from models.evaluation.answers import Answers, Outputs

Sets = dict[float, tuple[NDArray[np.bool_], NDArray[np.int64]]]
"""By promised coverage, [B] whether the true class is in the prediction set, and [B] how large that is."""


@dataclass(frozen=True)
class CalibrationRows:
    """Held-out rows and what each half of them is for."""

    split: Split
    fitting: NDArray[np.int64]
    """Rows that fit the scale."""
    promising: NDArray[np.int64]
    """Rows that decide nothing before they promise something."""


@dataclass(frozen=True)
class Fit:
    """The scale of all submodels that held-out rows fitted, and the outputs under it."""

    temperature: float
    outputs: Outputs
    nll_before: float | None = None
    """Mean NLL of all rows in nats, at scale 1; None where nothing was fitted."""
    nll_after: float | None = None


@dataclass(frozen=True)
class Promises:
    """What a task promises of new rows beside thresholds."""

    prediction_sets: tuple[PredictionSet, ...] = ()
    intervals: tuple[Interval, ...] = ()


class TaskEvaluator(ABC):
    """One kind of answer: how it is calibrated, and what can be said of it once the truth is known."""

    error_name: ClassVar[str]
    """Of the error that `mean_error` gives."""

    @abstractmethod
    def check_labels(self, contract: Contract, split: Split) -> None:
        """Holds labels against the contract.

        Raises:
            DatasetError: no rows, or labels of another shape, dtype or range.
        """

    @abstractmethod
    def check_promises(self, coverages: Sequence[float] | None, risks: Sequence[float] | None) -> None:
        """Whether the task can promise such coverages and risks at all.

        Raises:
            ValueError: it cannot.
        """

    @abstractmethod
    def fit(self, model: onnx.ModelProto, contract: Contract, rows: CalibrationRows) -> Fit:
        """Fits the scale on one half of the rows, sets it in the model, and runs the model on all of them."""

    @abstractmethod
    def wrong(self, answers: Answers) -> NDArray[np.bool_] | None:
        """[B] whether each answer is wrong; None where answers are neither right nor wrong."""

    @abstractmethod
    def promise(self, answers: Answers, promising: NDArray[np.int64], coverages: Sequence[float] | None) -> Promises:
        """What some of the rows promise of each answer; by default the coverages of `models.evaluation.conformal`."""

    @abstractmethod
    def evaluate(self, contract: Contract, data: str, answers: Answers) -> Evaluation:
        """The figures that a contract holds, of rows that took part in nothing else."""

    @abstractmethod
    def errors(self, answers: Answers) -> NDArray[Any]:
        """[B, E] the errors of each row, whose means are told."""

    @abstractmethod
    def mean_error(self, errors: NDArray[Any]) -> list[float]:
        """The mean of errors [B, E], as `error_name` calls it."""

    def prediction_sets(self, contract: Contract, answers: Answers) -> Sets:
        """How the prediction sets of a calibration hold; none by default."""
        return {}

    def measure(self, contract: Contract, answers: Answers) -> dict[str, Any]:
        """Further figures of test rows, as JSON has them; none by default."""
        return {}

    def measure_corrupted(self, contract: Contract, answers: Answers) -> dict[str, float]:
        """Figures of corrupted rows, as JSON has them; none by default."""
        return {}

    def measure_ood(self, answers: Answers, ood: Outputs) -> dict[str, dict[str, float]]:
        """By score, how well it tells out-of-distribution rows from test rows; none by default."""
        return {}

    def describe_fit(self, calibration: Calibration) -> str:
        """What a calibration fitted, in words."""
        return (
            f"temperature {calibration.temperature:.4f}, NLL {calibration.nll_before:.4f} at temperature 1, "
            f"{calibration.nll_after:.4f} now"
        )

    @abstractmethod
    def describe(self, evaluation: Any) -> list[str]:
        """An evaluation of this task, as lines to print."""

    def describe_measured(self, measured: Mapping[str, Any]) -> list[str]:
        """What `models.evaluation.measurement` found, as lines to print."""
        return []


def four_decimals(values: Iterable[float]) -> str:
    """Numbers as figures are printed."""
    return " ".join(f"{value:.4f}" for value in values)
