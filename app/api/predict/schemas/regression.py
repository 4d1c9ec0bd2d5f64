"""The answer of a regressor."""

from typing import Literal

from pydantic import BaseModel, Field

from app.api.predict.schemas.common import (
    DECISION,
    GRID,
    MAPS,
    PERCENTILES,
    RECEIPT,
    Maps,
    ModelReference,
    Probability,
    RowDecision,
)


class RegressorReference(ModelReference):
    """The regressor that answered."""

    task: Literal["regression"]


class Bounds(BaseModel):
    """An interval that holds the true value with the guaranteed coverage, each of the D targets by itself."""

    coverage: Probability
    lower: list[float] = Field(description="[D], in units of the targets")
    upper: list[float] = Field(description="[D]")


class RegressionSubmodel(BaseModel):
    """One submodel's own answer to a row, D values each."""

    prediction: list[float] = Field(description="Its mean [D]")
    variance: list[float] | None = Field(None, description="[D]; absent where none is predicted")


class RegressorRowScores(BaseModel):
    """The scores of a whole row of a dense head, which percentiles, policies and metrics use: means over its cells, in
    nats; those of a regressor may be negative."""

    entropy: float
    expected_entropy: float
    mutual_information: float


class Regression(BaseModel):
    """The answer to one row of a regressor, D values each; variances in squared units of the target. A field that was
    not asked for, or that the model has not, is absent.

    The entropies, there where variances are predicted, are those of the normal distribution with this mean and
    variance, Σ ½ ln(2πe·variance), and of those of the submodels: differential, so they may be negative.
    """

    prediction: list[float] | None = Field(None, description="Mean over the submodels [D]")
    variance: list[float] | None = Field(None, description="Epistemic plus, where predicted, aleatoric [D]")
    epistemic_variance: list[float] | None = Field(None, description="Variance of the submodels' means [D]")
    aleatoric_variance: list[float] | None = Field(None, description="Mean of the submodels' variances [D]")
    entropy: float | None = Field(None, description="In nats: the whole uncertainty")
    expected_entropy: float | None = Field(
        None, description="Mean of the submodels' entropies in nats: the noise of the input itself"
    )
    mutual_information: float | None = Field(
        None, description="`entropy` − `expected_entropy` in nats: how far the submodels disagree"
    )
    grid: list[int] | None = Field(None, description=GRID)
    row_prediction: list[float] | None = Field(
        None, description="Of a dense head: mean of `prediction` over the cells [D]"
    )
    row_submodels: list[list[float]] | None = Field(
        None,
        description="Of a dense head: the same for each submodel [N, D]; a total over the cells is that many times it",
    )
    row_scores: RegressorRowScores | None = None
    intervals: list[Bounds] | None = Field(None, description="Null where the model was not calibrated for any")
    percentiles: dict[str, float] | None = Field(None, description=PERCENTILES)
    decision: RowDecision | None = Field(None, description=DECISION)
    submodels: list[RegressionSubmodel] | None = Field(None, description="What each of the N submodels answers")
    receipt: str | None = Field(None, description=RECEIPT)
    maps: Maps | None = Field(None, description=MAPS)


class RegressionAnswer(BaseModel):
    """The answer of a regressor: one prediction for each row, in order."""

    id: str | None = Field(None, description="As in the request; absent where it had none")
    model: RegressorReference
    predictions: list[Regression]
