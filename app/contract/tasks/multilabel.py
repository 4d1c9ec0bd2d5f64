"""Multilabel: each of K labels is on or off for each row, independently of the others."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.contract.calibration import PredictionSet
from app.contract.contract_model import ContractModel, Fraction, Score
from app.contract.curves import Reliability, RiskCoverage
from app.contract.tasks.classification import SET_TOLERANCE
from app.contract.tasks.task import Arrays, Task, row_output, row_scores
from app.contract.tensor import Axis, Tensor

if TYPE_CHECKING:
    from app.contract.head import Head

SCORES: tuple[Score, ...] = ("entropy", "expected_entropy", "mutual_information")
"""Outputs of the graph for each label; a row's score is their mean."""


class MultilabelEvaluation(ContractModel):
    """What the artefact reached on rows that took part in nothing else, through onnxruntime; of a dense head, what is
    said of rows is that of all their cells, whatever row they are in."""

    data: str
    rows: Annotated[int, Field(ge=1)]
    exact_match: Fraction
    """Share of rows whose labels are all right."""
    micro_f1: Fraction
    """F1 over all labels of all rows together."""
    macro_f1: Fraction
    """Mean of the labels' F1; a label that is neither predicted nor true on any row counts as 0."""
    nll: float
    """Binary cross-entropy in nats, the mean over rows and labels."""
    brier: Fraction
    """Mean over rows and labels of (p̄ − y)²."""
    ece: Fraction
    """Expected calibration error of each label's probability, 15 bins of equal width; the mean over the labels."""
    ece_uncalibrated: Fraction
    """The same at temperature 1."""
    submodel_exact_match: tuple[Fraction, ...]
    reliability: Reliability = ()
    """Of the probability of each label."""
    risk_coverage: RiskCoverage = Field(default_factory=dict)
    """What is gained by leaving the doubtful rows out."""


class MultilabelTask(Task):
    """K labels for each row, each on or off, from probabilities of N submodels."""

    name = "multilabel"
    evaluation = MultilabelEvaluation
    answers = "labels"

    def outputs(self, head: "Head") -> tuple[Tensor, ...]:
        """The same for every multilabel model, and more for a dense one."""
        return outputs(head.grid)

    def scores(self, head: "Head") -> tuple[Score, ...]:
        """The same for every multilabel model."""
        return SCORES

    def score_value(self, name: Score, found: Arrays) -> NDArray[Any]:
        """The mean over the labels [B]: a sum would grow with K, and the largest hide a row of many doubtful labels."""
        return np.asarray(found[name].mean(axis=-1))

    def validate(self, head: "Head") -> None:
        """One label or more, no targets, no intervals, and an evaluation of labels."""
        if not head.labels or head.targets:
            raise ValueError(f"labels must name at least 1, and targets none, for the task {self.name}")
        self._check_evaluation(head)
        self._check_calibration(head, alien="intervals")


def outputs(grid: Sequence[Axis] = ()) -> tuple[Tensor, ...]:
    """The outputs that every multilabel model has, for each cell of its grid if it is dense; and then those of its
    rows: the share of the cells in which each label is on, and the mean of each score over labels and cells."""
    of_cells = (
        Tensor(name="prediction", dtype="int64", shape=("B", "K", *grid), unit="1 on, 0 off"),
        Tensor(name="probabilities", dtype="float32", shape=("B", "K", *grid), unit="probability"),
        Tensor(name="submodels", dtype="float32", shape=("B", "N", "K", *grid), unit="probability"),
        *(Tensor(name=name, dtype="float32", shape=("B", "K", *grid), unit="nats") for name in SCORES),
        Tensor(name="logits", dtype="float32", shape=("B", "N", "K", *grid), unit="logit, before the temperature"),
    )
    if not grid:
        return of_cells
    shares = Tensor(name=row_output("shares"), dtype="float32", shape=("B", "K"), unit="share of the cells")
    return (*of_cells, shares, *row_scores(SCORES))


def prediction_set_members(one: PredictionSet, probabilities: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each label [B, K] is in its row's prediction set, which may be empty."""
    return np.asarray(probabilities >= one.least_probability - SET_TOLERANCE)
