"""Classification: one of K classes for each row."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.contract.calibration import PredictionSet
from app.contract.contract_model import ContractModel, Fraction, Score
from app.contract.curves import Reliability, RiskCoverage
from app.contract.tasks.task import Arrays, Task, row_output, row_scores
from app.contract.tensor import Axis, Tensor

if TYPE_CHECKING:
    from app.contract.head import Head

SCORES: tuple[Score, ...] = ("confidence", "entropy", "expected_entropy", "mutual_information", "energy")
"""`confidence` is the largest mean probability; the others are outputs of the graph."""

SET_TOLERANCE = 1e-6
"""How far below a set's least probability a class may lie: both are rounded, and a set that is too wide breaks no
guarantee."""


class ClassificationEvaluation(ContractModel):
    """What the artefact reached on rows that took part in nothing else, through onnxruntime."""

    data: str
    rows: Annotated[int, Field(ge=1)]
    accuracy: Fraction
    nll: float
    ece: Fraction
    """Expected calibration error of the most probable class, 15 bins of equal width."""
    ece_uncalibrated: Fraction
    """The same at temperature 1."""
    submodel_accuracy: tuple[Fraction, ...]
    reliability: Reliability = ()
    """Of the confidence."""
    risk_coverage: RiskCoverage = Field(default_factory=dict)
    """What is gained by leaving the doubtful rows out."""


class DenseClassificationEvaluation(ContractModel):
    """What the artefact reached on the cells of rows that took part in nothing else, through onnxruntime.

    Figures are those of all cells that count, whatever row they are in, unless they are said to be of rows.
    """

    data: str
    rows: Annotated[int, Field(ge=1)]
    """Rows with cells that count, which have a known class."""
    cells: Annotated[int, Field(ge=1)]
    accuracy: Fraction
    mean_iou: Fraction
    """Intersection over union, the mean over the classes that are true or predicted somewhere."""
    nll: float
    """In nats."""
    ece: Fraction
    """Expected calibration error of the most probable class, 15 bins of equal width."""
    ece_uncalibrated: Fraction
    """The same at temperature 1."""
    row_ece: Fraction
    """Of rows: their mean confidence against the share of their cells that are right, 15 bins of equal width."""
    submodel_accuracy: tuple[Fraction, ...]
    auroc_worst_tenth: dict[Score, Fraction] = Field(default_factory=dict)
    """Of rows, for each of their scores: the probability that one of the tenth with the largest shares of wrong cells
    is in more doubt than another row; absent if all shares are the same."""
    spearman: dict[Score, float] = Field(default_factory=dict)
    """Of rows, for each of their scores: the rank correlation of doubt and the share of wrong cells; absent if one of
    them does not vary."""
    reliability: Reliability = ()
    """Of the confidence of cells."""
    risk_coverage: RiskCoverage = Field(default_factory=dict)
    """What is gained by leaving the doubtful rows out."""


class ClassificationTask(Task):
    """One of K classes for each row, from probabilities of N submodels."""

    name = "classification"
    evaluation = ClassificationEvaluation
    dense_evaluation = DenseClassificationEvaluation
    answers = "labels"

    def outputs(self, head: "Head") -> tuple[Tensor, ...]:
        """The same for every classifier, and more for a dense one."""
        return outputs(head.grid)

    def scores(self, head: "Head") -> tuple[Score, ...]:
        """The same for every classifier."""
        return SCORES

    def score_value(self, name: Score, found: Arrays) -> NDArray[Any]:
        """The largest of `probabilities`, or the graph's score."""
        return np.asarray(found["probabilities"].max(axis=-1) if name == "confidence" else found[name])

    def sufficient(self, head: "Head") -> tuple[str, ...]:
        """The logits, which no temperature changes."""
        return ("logits",)

    def validate(self, head: "Head") -> None:
        """Two labels or more, no targets, no intervals, and an evaluation of classes."""
        if len(head.labels) < 2 or head.targets:
            raise ValueError(f"labels must name at least 2, and targets none, for the task {self.name}")
        self._check_evaluation(head)
        self._check_calibration(head, alien="intervals")


def outputs(grid: Sequence[Axis] = ()) -> tuple[Tensor, ...]:
    """The outputs that every classifier has, for each cell of its grid if it is dense; and then those of its rows: the
    share of the cells that each class has, and the mean of each score."""
    scores = ("entropy", "expected_entropy", "mutual_information", "energy")
    of_cells = (
        Tensor(name="prediction", dtype="int64", shape=("B", *grid), unit="class index"),
        Tensor(name="probabilities", dtype="float32", shape=("B", "K", *grid), unit="probability"),
        Tensor(name="submodels", dtype="float32", shape=("B", "N", "K", *grid), unit="probability"),
        *(Tensor(name=name, dtype="float32", shape=("B", *grid), unit="nats") for name in scores),
        Tensor(name="logits", dtype="float32", shape=("B", "N", "K", *grid), unit="logit, before the temperature"),
    )
    if not grid:
        return of_cells
    shares = Tensor(name=row_output("shares"), dtype="float32", shape=("B", "K"), unit="share of the cells")
    return (*of_cells, shares, *row_scores(SCORES))


def prediction_set_members(
    one: PredictionSet, probabilities: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The classes [B, K] of each row, most probable first, and how many of them [B] are in its prediction set."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    counts = (probabilities >= one.least_probability - SET_TOLERANCE).sum(axis=-1)
    return order, np.maximum(counts, 1)  # an empty set would answer nothing; a wider one keeps the guarantee


def dense_set_members(one: PredictionSet, probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each class is in the prediction set of its cell [B, K, G]: the most probable one always is."""
    inside = probabilities >= one.least_probability - SET_TOLERANCE
    np.put_along_axis(inside, probabilities.argmax(axis=1)[:, None], True, axis=1)
    return np.asarray(inside)
