"""Regression: D numbers for each row, each with a variance."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from app.contract.contract_model import ContractModel, Fraction, Parts, Score
from app.contract.curves import ErrorPoint, LevelCoverage
from app.contract.tasks.task import Task, row_output, row_scores
from app.contract.tensor import Axis, Tensor

if TYPE_CHECKING:
    from app.contract.head import Head

SCORES: tuple[Score, ...] = ("entropy", "expected_entropy", "mutual_information")
"""Scores of a regressor whose submodels predict a variance; others have none."""


class RegressionEvaluation(ContractModel):
    """What a regressor reached on rows that took part in nothing else, through onnxruntime; D values each. Of a dense
    head they are those of all cells, whatever row they are in."""

    data: str
    rows: Annotated[int, Field(ge=1)]
    rmse: tuple[float, ...]
    """Root of the mean squared error, in units of the target."""
    nll: float | None = None
    """Of the mixture of the submodels' normal distributions, in nats; absent if they predict no variance."""
    coverage: dict[str, tuple[Fraction, ...]] = Field(default_factory=dict)
    """Share of true values within each interval, by its guaranteed coverage in percent."""
    width: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    """Mean width of each interval, in units of the target."""
    coverage_by_level: Parts[LevelCoverage] = ()
    """Of the predicted distribution, at 10 %, 20 %, … 90 %; empty if no variance is predicted."""
    risk_coverage: dict[Score, Parts[ErrorPoint]] = Field(default_factory=dict)
    """What is gained by leaving the doubtful rows out, for `entropy` and for each score that the head's policy names;
    of a dense head's rows. Empty if no variance is predicted."""


class RegressionTask(Task):
    """D numbers for each row, from N submodels that may also predict a variance."""

    name = "regression"
    evaluation = RegressionEvaluation
    answers = "targets"

    def outputs(self, head: "Head") -> tuple[Tensor, ...]:
        """Includes variances if the contract names them."""
        return outputs(any(tensor.name == "aleatoric_variance" for tensor in head.outputs), head.grid)

    def scores(self, head: "Head") -> tuple[Score, ...]:
        """Only if the submodels predict a variance."""
        return SCORES if any(tensor.name == "entropy" for tensor in head.outputs) else ()

    def sufficient(self, head: "Head") -> tuple[str, ...]:
        """The means of the submodels, and their variances if they predict any, which the temperature multiplies."""
        return ("submodels", "submodel_variances") if self.scores(head) else ("submodels",)

    def validate(self, head: "Head") -> None:
        """One target or more, no labels, no prediction sets, one factor a target, and an evaluation of numbers."""
        if not head.targets or head.labels:
            raise ValueError(f"targets must name at least 1, and labels none, for the task {self.name}")
        self._check_evaluation(head)
        self._check_calibration(head, alien="prediction_sets")
        for index, interval in enumerate(head.calibration.intervals if head.calibration else ()):
            if len(interval.factors) != len(head.targets):
                raise ValueError(f"calibration.intervals.{index}.factors must be {len(head.targets)}")


def outputs(aleatoric: bool, grid: Sequence[Axis] = ()) -> tuple[Tensor, ...]:
    """The outputs that every regressor has, and those that need submodels which predict a variance; for each cell of
    its grid if it is dense, and then those of its rows, which are means over the grid.

    `entropy`, `expected_entropy` and `mutual_information` are those of the normal distribution with the mixture's mean
    and variance, Σ_d ½ ln(2πe·variance_d): differential, so they may be negative.
    """

    def numbers(name: str, unit: str, *shape: Axis) -> Tensor:
        return Tensor(name=name, dtype="float32", shape=("B", *shape, *grid), unit=unit)

    squared = "squared unit of the target"
    of_cells: tuple[Tensor, ...] = (
        numbers("prediction", "unit of the target", "D"),
        numbers("submodels", "unit of the target", "N", "D"),
        numbers("variance", squared, "D"),
        numbers("epistemic_variance", squared, "D"),
    )
    if aleatoric:
        of_cells = (
            *of_cells,
            numbers("aleatoric_variance", squared, "D"),
            numbers("submodel_variances", squared, "N", "D"),
            *(numbers(name, "nats") for name in SCORES),
        )
    if not grid:
        return of_cells
    return (
        *of_cells,
        Tensor(name=row_output("prediction"), dtype="float32", shape=("B", "D"), unit="unit of the target"),
        Tensor(name=row_output("submodels"), dtype="float32", shape=("B", "N", "D"), unit="unit of the target"),
        *row_scores(SCORES if aleatoric else ()),
    )
