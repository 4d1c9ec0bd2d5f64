"""The public shapes of requests and answers, as the OpenAPI document shows them.

Answers to `/predict` are written from arrays without passing through these classes; tests hold the two together.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.predict.params import LONGEST_POLICY
from app.contract.decisions import Action, Source
from app.contract.policy import Rule
from app.contract.repository import HIGHEST_VERSION, NAME_PATTERN
from app.contract.schema import Contract, Method, Target

Probability = Annotated[float, Field(ge=0, le=1)]
State = Literal["serving", "kept", "standby", "rejected"]
Output = Literal[
    "prediction",
    "probabilities",
    "variance",
    "epistemic_variance",
    "aleatoric_variance",
    "entropy",
    "expected_entropy",
    "mutual_information",
    "energy",
    "intervals",
    "percentiles",
    "prediction_set",
    "decision",
    "submodels",
    "logits",
]


class PredictRequest(BaseModel):
    """Rows to predict, and what to answer about them."""

    model_config = ConfigDict(extra="forbid")  # answers may grow, so they don't

    model: str | None = Field(
        None,
        pattern=f"^{NAME_PATTERN}$",
        description="Name of the model; without it the configured default answers",
    )
    version: int | None = Field(
        None,
        ge=1,
        le=HIGHEST_VERSION,
        description="Version of the model; without it the highest valid one, or the pinned one, answers",
    )
    inputs: list[Any] = Field(
        min_length=1,
        description="Numbers nested as [B, …], B rows in the model's natural units; "
        "`GET /models/{name}` tells shape and range",
    )
    outputs: Annotated[list[Output], Field(min_length=1, json_schema_extra={"uniqueItems": True})] | None = Field(
        None,
        description="Which outputs to answer, of those that the kind of model has; of a classifier `prediction` is "
        "label, index and confidence. Default: all but `logits`",
    )
    policy: str | None = Field(
        None,
        max_length=LONGEST_POLICY,
        description="Rules, separated by commas, of which the first that applies decides, such as `reject energy>p99, "
        "defer confidence<0.6`; pNN is a percentile on the calibration rows, cNN and rNN are the contract's thresholds "
        "that promise a coverage or a risk of NN %. They make `decision` stricter, never laxer, than the policy of "
        "model or operator",
        examples=["defer entropy>p95"],
    )
    coverage: Probability | None = Field(
        None,
        description="Which of the model's prediction sets to answer, by its coverage; of a regressor, which of its "
        "intervals. Default: the first set, all intervals",
    )
    id: str | None = Field(None, max_length=256, description="Comes back in the answer as it is")


class ModelReference(BaseModel):
    """The model that answered."""

    name: str
    version: int = Field(ge=1)
    method: Method
    num_submodels: int = Field(ge=1, description="N, the number of submodels")


class ClassifierReference(ModelReference):
    """The classifier that answered."""

    task: Literal["classification"]


class RegressorReference(ModelReference):
    """The regressor that answered."""

    task: Literal["regression"]


class Submodel(BaseModel):
    """One submodel's own answer to a row."""

    label: str
    index: int = Field(ge=0)
    probabilities: list[Probability] = Field(description="K probabilities, in the order of the model's labels")


class LabelSet(BaseModel):
    """The labels among which the true one is with the promised coverage: over many rows like those of the
    calibration, at least so many sets hold it; of a single one nothing is promised."""

    coverage: Probability
    labels: list[str] = Field(description="Most probable first; never empty")


class Decision(BaseModel):
    """What to do with an answer, by the first rule of a policy that applies; by the last one where none does."""

    action: Action = Field(
        description="`accept`; `defer`: ambiguous, let somebody else look; `reject`: outside the model's world, "
        "don't use the answer"
    )
    score: str = Field(description="The score that the rule looks at")
    value: float = Field(description="Its value for this row")
    threshold: float = Field(description="Beyond which the rule applies; for `confidence`, below which")
    policy: Source = Field(description="Whose rule it is: the model's own, the operator's, or the request's")


_PERCENTILES = (
    "Where each score lies among those of the calibration rows, 0 to 100, without scores that were the same on all of "
    "them; null where the model was not calibrated"
)
_DECISION = "Null where nobody has a policy"


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
    percentiles: dict[str, float] | None = Field(None, description=_PERCENTILES)
    prediction_set: LabelSet | None = Field(None, description="Null where the model was not calibrated for any")
    decision: Decision | None = Field(None, description=_DECISION)


class Bounds(BaseModel):
    """An interval that holds the true value with the promised coverage, each of the D targets by itself."""

    coverage: Probability
    lower: list[float] = Field(description="[D], in units of the targets")
    upper: list[float] = Field(description="[D]")


class RegressionSubmodel(BaseModel):
    """One submodel's own answer to a row, D values each."""

    prediction: list[float] = Field(description="Its mean [D]")
    variance: list[float] | None = Field(None, description="[D]; absent where none is predicted")


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
    intervals: list[Bounds] | None = Field(None, description="Null where the model was not calibrated for any")
    percentiles: dict[str, float] | None = Field(None, description=_PERCENTILES)
    decision: Decision | None = Field(None, description=_DECISION)
    submodels: list[RegressionSubmodel] | None = Field(None, description="What each of the N submodels answers")


class ClassificationAnswer(BaseModel):
    """The answer of a classifier: one prediction for each row, in order."""

    id: str | None = Field(None, description="As in the request; absent where it had none")
    model: ClassifierReference
    predictions: list[Classification]


class RegressionAnswer(BaseModel):
    """The answer of a regressor: one prediction for each row, in order."""

    id: str | None = Field(None, description="As in the request; absent where it had none")
    model: RegressorReference
    predictions: list[Regression]


class Error(BaseModel):
    """What went wrong."""

    code: str = Field(
        description="Stable, for programs: `malformed_body`, `invalid_input`, `unknown_model`, `unknown_version`, "
        "`body_too_large`, `unsupported_media_type`, `queue_full`, `deadline_exceeded`, `out_of_memory`, "
        "`device_failed`, `model_failed`, `output_not_finite`, `internal_error`, `not_ready`, `not_found`, "
        "`method_not_allowed`, `admin_disabled`, `version_rejected`, `unauthorized`, `insufficient_scope`, "
        "`rate_limited`, `headers_too_large`, `request_timeout`, `malformed_request`; "
        "others may come"
    )
    message: str = Field(description="For people; names what was expected")
    field: str | None = Field(None, description="The part of the request that it is about")
    request_id: str = Field(description="As in the header X-Request-ID")


class ErrorBody(BaseModel):
    """The body of every answer that is not a success."""

    error: Error


_REASON = "Why it is rejected, what became of its files since it was loaded, or that it has no contract"


_LOADED = "Whether it is in memory; with MASKSEMBLES_LOAD=lazy what answers is not before its first request"


class VersionSummary(BaseModel):
    """A version in the store and what became of it."""

    version: int
    state: State = Field(
        description="`serving` answers, `kept` answers requests that name it, `standby` could, `rejected` is not fit to"
    )
    loaded: bool = Field(description=_LOADED)
    reason: str | None = Field(None, description=_REASON)


class PolicyInForce(BaseModel):
    """What decides on a model's answers: the first rule that applies; where none does they are accepted."""

    source: Literal["model", "operator"] = Field(
        description="Whose it is: the file's own, or the operator's in its place"
    )
    rules: list[Rule] = Field(description="With percentiles and promises looked up in the model's calibration")


class ModelSummary(BaseModel):
    """A model in the store. Everything but name and versions is absent where no version is fit to be served,
    and everything that a contract would say where there is none."""

    name: str
    version: int | None = Field(None, description="The version that answers")
    task: Literal["classification", "regression"] | None = None
    method: Method | None = None
    num_submodels: int | None = Field(None, description="N")
    input_shape: list[int | str] | None = Field(None, description="Of a request's `inputs`; B is the number of rows")
    input_range: tuple[float, float] | None = Field(None, description="Smallest and largest value accepted")
    labels: list[str] | None = Field(None, description="Of a classifier: the K classes")
    targets: list[Target] | None = Field(None, description="Of a regressor: the D numbers that it predicts")
    policy: PolicyInForce | None = Field(None, description="What decides on its answers; absent where nobody has one")
    reason: str | None = Field(None, description="Why its folder in the store cannot be read")
    versions: list[VersionSummary]


class Catalog(BaseModel):
    """All models in the store."""

    default: str | None = Field(None, description="The model that answers when a request names none")
    models: list[ModelSummary]


class VersionDetail(BaseModel):
    """A version with everything its file declares about itself."""

    name: str
    version: int
    state: State
    loaded: bool = Field(description=_LOADED)
    reason: str | None = Field(None, description=_REASON)
    contract: Contract | None = Field(None, description="Absent where the version is rejected, or has none")


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Predictions are answered, where and by which models."""

    status: Literal["ready"] = "ready"
    device: Literal["cpu", "cuda"]
    device_asked: Literal["auto", "cpu", "cuda"] = Field(description="The setting MASKSEMBLES_DEVICE")
    device_reason: str = Field(description="Why this device was chosen")
    models: dict[str, int] = Field(description="The version of each model that answers")
