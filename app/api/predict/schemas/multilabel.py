"""The answer of a multilabel model."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.predict.schemas.common import (
    DECISION,
    GRID,
    MAPS,
    PERCENTILES,
    SHARES,
    Maps,
    ModelReference,
    Probability,
    RowDecision,
)


class MultilabelReference(ModelReference):
    """The multilabel model that answered."""

    task: Literal["multilabel"]


class MultilabelSubmodel(BaseModel):
    """One submodel's own answer to a row."""

    labels: list[str] = Field(description="Labels that it finds more probable than not, in the model's order")
    probabilities: list[Probability] = Field(description="K probabilities, in the order of the model's labels")


class TrueLabelSet(BaseModel):
    """The labels among which a row's true ones are: over many rows like those of the calibration, a set holds on
    average at least this share of them; of a single row nothing is guaranteed."""

    coverage: Probability
    labels: list[str] = Field(description="Most probable first; may be empty")


class RowScores(BaseModel):
    """The scores of a whole row, which percentiles, policies and metrics use: means over the labels, in nats."""

    entropy: float = Field(ge=0)
    expected_entropy: float = Field(ge=0)
    mutual_information: float = Field(ge=0)


class Multilabel(BaseModel):
    """The answer to one row of a model whose K labels are each on or off. A field that was not asked for, or that the
    model has not, is absent.

    With p_n the probability of a label by submodel n, p̄ their mean, and H[p] = −p ln p − (1 − p) ln(1 − p):
    `mutual_information` = `entropy` − `expected_entropy`, for each label by itself.
    """

    labels: list[str] | None = Field(None, description="Labels with p̄ above 0.5, in the model's order; may be empty")
    probabilities: list[Probability] | None = Field(
        None, description="p̄, the mean of the submodels' probabilities [K], in the order of the model's labels"
    )
    entropy: list[float] | None = Field(
        None, description="H[p̄] of each label in nats [K], from 0 (certain) to ln 2: the whole uncertainty"
    )
    expected_entropy: list[float] | None = Field(
        None,
        description="Mean of the submodels' entropies H[p_n] of each label in nats [K]: how ambiguous the input is",
    )
    mutual_information: list[float] | None = Field(
        None,
        description="H[p̄] − mean H[p_n] of each label in nats [K], from 0 to ln 2: how far the submodels disagree, "
        "the model's own ignorance",
    )
    grid: list[int] | None = Field(None, description=GRID)
    shares: list[Probability] | None = Field(None, description=SHARES)
    row_scores: RowScores | None = None
    percentiles: dict[str, float] | None = Field(None, description=PERCENTILES)
    prediction_set: TrueLabelSet | None = Field(None, description="Null where the model was not calibrated for any")
    decision: RowDecision | None = Field(None, description=DECISION)
    submodels: list[MultilabelSubmodel] | None = Field(None, description="What each of the N submodels answers")
    logits: list[list[float]] | None = Field(
        None, description="[N, K], before the temperature; only when asked for by name"
    )
    maps: Maps | None = Field(None, description=MAPS)


_EXAMPLE: dict[str, Any] = {
    "model": {
        "name": "digit-traits", "version": 1, "task": "multilabel", "method": "masksembles", "num_submodels": 4,
    },
    "predictions": [
        {
            "labels": ["even", "has-a-loop"],
            "probabilities": [0.9, 0.05, 0.3, 0.8],
            "entropy": [0.325, 0.199, 0.611, 0.5],
            "expected_entropy": [0.32, 0.195, 0.45, 0.48],
            "mutual_information": [0.005, 0.004, 0.161, 0.02],
            "row_scores": {"entropy": 0.409, "expected_entropy": 0.361, "mutual_information": 0.048},
            "percentiles": {"entropy": 91.5, "expected_entropy": 88.2, "mutual_information": 94.0},
            "prediction_set": {"coverage": 0.9, "labels": ["even", "has-a-loop", "above-4"]},
            "decision": {
                "action": "defer", "score": "entropy", "value": 0.409, "threshold": 0.35, "policy": "model",
            },
        }
    ],
}  # fmt: skip


class MultilabelAnswer(BaseModel):
    """The answer of a multilabel model: one prediction for each row, in order."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str | None = Field(None, description="As in the request; absent where it had none")
    model: MultilabelReference
    predictions: list[Multilabel]
