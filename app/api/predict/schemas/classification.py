"""The answer of a classifier."""

from typing import Literal

from pydantic import BaseModel, Field

from app.api.predict.schemas.common import (
    DECISION,
    GRID,
    MAPS,
    PERCENTILES,
    RECEIPT,
    SHARES,
    Maps,
    ModelReference,
    Probability,
    RowDecision,
)


class ClassifierReference(ModelReference):
    """The classifier that answered."""

    task: Literal["classification"]


class Submodel(BaseModel):
    """One submodel's own answer to a row."""

    label: str
    index: int = Field(ge=0)
    probabilities: list[Probability] = Field(description="K probabilities, in the order of the model's labels")


class LabelSet(BaseModel):
    """The labels among which the true one is with the guaranteed coverage: over many rows like those of the
    calibration, at least so many sets hold it; of a single one nothing is guaranteed."""

    coverage: Probability
    labels: list[str] = Field(description="Most probable first; never empty")


class ClassifierRowScores(BaseModel):
    """The scores of a whole row of a dense head, which percentiles, policies and metrics use: means over its cells."""

    confidence: Probability
    entropy: float = Field(ge=0, description="As the next two, in nats")
    expected_entropy: float = Field(ge=0)
    mutual_information: float = Field(ge=0)
    energy: float


class Classification(BaseModel):
    """The answer to one row. A field that was not asked for, or that the model has not, is absent.

    With p_n the probabilities of submodel n and p̄ their mean: `mutual_information` = `entropy` − `expected_entropy`.
    """

    label: str | None = Field(None, description="Most probable class of p̄")
    index: int | None = Field(None, ge=0, description="Its index among the model's labels")
    confidence: Probability | None = Field(None, description="Its probability in p̄")
    probabilities: list[Probability] | None = Field(
        None,
        description="p̄, the mean of the submodels' probabilities [K], in the order of the model's labels",
    )
    entropy: float | None = Field(
        None, ge=0, description="H[p̄] in nats, from 0 (certain) to ln K: the whole uncertainty"
    )
    expected_entropy: float | None = Field(
        None,
        ge=0,
        description="Mean of the submodels' entropies H[p_n] in nats: the ambiguity of the input itself",
    )
    mutual_information: float | None = Field(
        None,
        ge=0,
        description="H[p̄] − mean H[p_n] in nats, from 0 to ln min(N, K): how far the submodels disagree, "
        "the model's own ignorance",
    )
    energy: float | None = Field(
        None,
        description="Mean over the submodels of −logsumexp of the logits, in nats, unbounded: "
        "higher than usual for inputs unlike the training data",
    )
    submodels: list[Submodel] | None = Field(None, description="What each of the N submodels answers")
    logits: list[list[float]] | None = Field(
        None, description="[N, K], before the temperature; only when asked for by name"
    )
    grid: list[int] | None = Field(None, description=GRID)
    shares: list[Probability] | None = Field(None, description=SHARES)
    row_scores: ClassifierRowScores | None = None
    percentiles: dict[str, float] | None = Field(None, description=PERCENTILES)
    prediction_set: LabelSet | None = Field(None, description="Null where the model was not calibrated for any")
    decision: RowDecision | None = Field(None, description=DECISION)
    receipt: str | None = Field(None, description=RECEIPT)
    maps: Maps | None = Field(None, description=MAPS)


class ClassificationAnswer(BaseModel):
    """The answer of a classifier: one prediction for each row, in order."""

    id: str | None = Field(None, description="As in the request; absent where it had none")
    model: ClassifierReference
    predictions: list[Classification]
