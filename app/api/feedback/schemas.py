"""What became of feedback, and the quality that follows from it."""

from typing import Literal

from pydantic import BaseModel, Field

from app.contract.contract_model import Score
from app.contract.decisions import Action
from app.contract.tasks import TaskName
from app.feedback.promise import Verdict
from app.telemetry.drift_evidence import ALARM_AT, Side

_ONCE = (
    "Who remembers which receipts were counted. `process`: this one, while it runs; a receipt that is sent again to "
    "another replica or worker, or after a restart, counts again. `database`: all processes with the same one; each "
    "counts once"
)


class FeedbackCounted(BaseModel):
    """What became of a batch of receipts."""

    counted: int = Field(description="Rows whose truth was counted")
    repeated: int = Field(description="Rows that had been counted before and were not added")
    remembered_by: Literal["process", "database"] = Field(description=_ONCE)


class Share(BaseModel):
    """A share of rows, with its 95 % confidence interval (Wilson)."""

    value: float | None = Field(None, description="Absent if there are no rows")
    lower: float
    upper: float
    rows: int = Field(description="Of how many rows it is the share")


class Mean(BaseModel):
    """A mean over rows, with a 95 % confidence interval (empirical Bernstein) if the loss has bounds."""

    value: float | None = Field(None, description="Absent if there are no rows")
    lower: float | None = Field(None, description="Absent if the loss has no bounds")
    upper: float | None = None


class ConfidenceBin(BaseModel):
    """Rows whose confidence lies between two tenths: the share of hits should be the mean confidence."""

    lower: float
    upper: float
    confidence: float | None = Field(None, description="Mean; absent if there are no rows")
    hits: Share


class DecisionQuality(BaseModel):
    """Rows with one decision."""

    action: Action | None = Field(None, description="As it was answered; absent where nobody has a policy")
    share: Share = Field(description="Of the rows whose truth came back")
    wrong: Share | None = Field(None, description="Of the rows with this decision; absent of a regressor")


class PromiseQuality(BaseModel):
    """A promise of the contract, and what the truths say about it."""

    promise: str = Field(
        description="`prediction set 0.9`, `interval 0.9 TARGET`, or of a threshold that the policy in force uses "
        "`coverage 0.9 SCORE` or `risk 0.05 SCORE`"
    )
    allowed: float = Field(description="At most this share of the rows may fail: be outside of the set, or wrong")
    failed: Share = Field(description="Of a risk, the share of the rows within the threshold; otherwise of all")
    verdict: Verdict = Field(
        description="`broken`: more rows fail than is promised; `kept`: at most half as many more; `not_enough_truth`: "
        "either may be. Both are said with 95 % certainty, however often one looks"
    )
    certainty: float | None = Field(None, description="Of a broken promise; see docs/feedback.md")


class HeadQuality(BaseModel):
    """What the truths say about a head."""

    name: str | None = Field(None, description="Absent if it is the only one")
    task: TaskName
    rows: int = Field(description="Whose truth was counted")
    repeated: int = Field(description="Receipts that came again")
    accuracy: Share | None = Field(None, description="Of a classifier")
    losses: dict[str, Mean] = Field(
        description="`brier`, Σ_k (p_k − y_k)², from 0 to 2; `nll`, −ln of the probability or density of the truth, in "
        "nats; `squared error TARGET`, in its squared unit"
    )
    calibration_error: float | None = Field(None, description="Of the confidence, over the bins below, by rows")
    reliability: list[ConfidenceBin] | None = Field(None, description="Of a classifier: ten bins of its confidence")
    decisions: list[DecisionQuality] = Field(description="Those that occurred")
    promises: list[PromiseQuality]


class ScoreDriftQuality(BaseModel):
    """Whether a score of the rows served lies where it did on the calibration rows."""

    head: str | None = Field(None, description="Absent if it is the only one")
    score: Score
    rows: int = Field(description="Served since the version was loaded; the evidence follows every 64 of them")
    evidence: float = Field(description="Its part of the version's")
    distance: float | None = Field(
        None,
        description="How far: the largest difference between the shares of served and of calibration rows at or below "
        "a decile, from 0 to 1. Absent if there are no rows",
    )
    side: Side = Field(description="If there is evidence: whether too many rows lie below or above a quantile")
    percent: int = Field(description="That quantile of the calibration rows, in percent")


class DriftQuality(BaseModel):
    """What the test for drift says of the rows served, which needs no truths; see docs/drift.md."""

    evidence: float = Field(
        description=f"The sum over heads and scores: 1 at the start, {ALARM_AT:g} or more is an alarm"
    )
    alarm: bool = Field(
        description="Inputs are not like those of the calibration; by chance, of one version in a hundred at most"
    )
    scores: list[ScoreDriftQuality]


class VersionQuality(BaseModel):
    """What is known about a version."""

    version: int
    drift: DriftQuality | None = Field(
        None, description="Absent if it was not asked since it was loaded, or has no calibration"
    )
    heads: list[HeadQuality] = Field(description="Those with truths")


class ModelQuality(BaseModel):
    """What truths and drift say about a model, since this process started. Versions without either are absent."""

    name: str
    remembered_by: Literal["process", "database"] = Field(description=_ONCE)
    versions: list[VersionQuality]
