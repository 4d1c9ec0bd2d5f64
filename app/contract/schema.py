"""The contract of a model: what its file declares about itself, one JSON document in the ONNX metadata.

The workshop writes it, the service reads it and refuses a file whose contract it cannot keep.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from app.contract.calibration import Calibration
from app.contract.contract_model import ContractModel, Fraction, Score

SCHEMA_VERSION = 4

Axis = Annotated[int, Field(ge=1)] | Literal["B", "N", "K", "D"]
Dtype = Literal["float32", "uint8", "int64"]
Task = Literal["classification", "regression"]
Method = Literal["single", "mc-dropout", "masksembles", "deep-ensemble"]


class ContractError(ValueError):
    """A contract is missing, newer than this reader, or wrong in a field that the message names."""


class Tensor(ContractModel):
    """An input or output of the graph. In `shape` B is the batch, N the submodels, K the classes, D the targets."""

    name: str
    dtype: Dtype
    shape: tuple[Axis, ...]
    unit: str
    range: tuple[float, float] | None = None
    """Smallest and largest value; an input outside is refused."""
    layout: str | None = None
    """A letter for each axis of a picture, such as BCHW."""
    colour: Literal["grey", "rgb"] | None = None
    resize: Literal["stretch", "crop"] | None = None
    """What makes a picture of another size fit: `stretch` ignores its proportions, `crop` fills and cuts from the
    middle; both bilinear. Without it such a picture is refused."""

    @model_validator(mode="after")
    def _batch_first(self) -> Self:
        if not self.shape or self.shape[0] != "B" or "B" in self.shape[1:]:
            raise ValueError(f"shape must begin with B, and have B nowhere else, got {list(self.shape)}")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range must be [smallest, largest], got {list(self.range)}")
        return self


class Target(ContractModel):
    """One of the D numbers that a regressor predicts."""

    name: str
    unit: str


class MaskedLayer(ContractModel):
    """What the masks of one layer do."""

    scale: float
    """S as it was asked for."""
    effective_scale: float | None = None
    """The S that the masks have; absent where they are disjoint (S = ∞)."""
    channels: int
    kept: int
    iou: Fraction
    """Mean intersection over union of all pairs of masks."""


class Masks(ContractModel):
    """The masks of a Masksembles network, layer by layer, and a digest of all of them."""

    layers: tuple[MaskedLayer, ...]
    digest: str


class Rule(ContractModel):
    """What to do with a row whose score lies above a threshold; for `confidence`, below it."""

    action: Literal["reject", "defer"]
    """`reject`: the input is outside the model's world, don't use the answer. `defer`: it is ambiguous, let somebody
    else look."""
    score: Score
    threshold: float


class Policy(ContractModel):
    """What to do with an answer: the first rule that applies says so, and where none does the answer is accepted."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]


class Evaluation(ContractModel):
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


class RegressionEvaluation(ContractModel):
    """What a regressor reached on rows that took part in nothing else, through onnxruntime; D values each."""

    data: str
    rows: Annotated[int, Field(ge=1)]
    rmse: tuple[float, ...]
    """Root of the mean squared error, in units of the target."""
    nll: float | None = None
    """Of the mixture of the submodels' normal distributions, in nats; absent where none are predicted."""
    coverage: dict[str, tuple[Fraction, ...]] = Field(default_factory=dict)
    """For each interval, by its promised coverage in percent, the share of true values within."""
    width: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    """And its mean width, in units of the target."""


class Compilation(ContractModel):
    """How the plan of a file came to be."""

    device: Literal["cpu", "cuda"] | None = None
    """The kind of device that the plan is for; absent where it is for all."""
    chosen_by: Literal["rule", "measurement", "force"] | None = None
    reason: str | None = None
    macs: Annotated[int, Field(ge=0)]
    """Multiply-accumulates of convolutions and products for one row, all submodels together."""
    macs_single: Annotated[int, Field(ge=0)]
    """The same for one pass through the network without masks."""


class Origin(ContractModel):
    """Where a model came from."""

    created: str
    """When, ISO 8601, UTC."""
    software: dict[str, str]
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Network and training settings, where the workshop trained it."""
    recalibrated_from: int | None = None
    """The version whose weights these are, where only the calibration is new."""


class Contract(ContractModel):
    """Everything the service needs to know about a model, and what a user may ask."""

    schema_version: Annotated[int, Field(ge=1)] = SCHEMA_VERSION
    task: Task = "classification"
    method: Method
    num_submodels: Annotated[int, Field(ge=1)]
    masks: Masks | None = None
    inputs: Annotated[tuple[Tensor, ...], Field(min_length=1, max_length=1)]
    outputs: tuple[Tensor, ...]
    labels: tuple[str, ...] = ()
    """Of a classifier: the K classes in order."""
    targets: tuple[Target, ...] = ()
    """Of a regressor: the D numbers it predicts."""
    plan: Literal["folded", "branches", "grouped"] = "folded"
    """`folded`: submodels in the batch. `branches`, `grouped`: without the channels that a submodel never sees, one
    submodel beside the other or together in grouped convolutions."""
    precision: Literal["float32", "float16"] = "float32"
    """Of the graph's body; its last layer and everything after it are float32."""
    compilation: Compilation | None = None
    calibration: Calibration | None = None
    policy: Policy | None = None
    evaluation: Evaluation | RegressionEvaluation | None = None
    origin: Origin

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self._check_task()
        wanted = self._outputs_of_task()
        expected = {tensor.name: tensor for tensor in wanted}
        found = {tensor.name: tensor for tensor in self.outputs}
        if len(found) != len(self.outputs) or found.keys() != expected.keys():
            raise ValueError(f"outputs must be {', '.join(expected)}, got {', '.join(t.name for t in self.outputs)}")
        for name, tensor in found.items():
            if (tensor.dtype, tensor.shape) != (expected[name].dtype, expected[name].shape):
                raise ValueError(
                    f"outputs.{name} must be {expected[name].dtype} {list(expected[name].shape)}, "
                    f"got {tensor.dtype} {list(tensor.shape)}"
                )
        if self.inputs[0].dtype == "int64" or any(isinstance(size, str) for size in self.inputs[0].shape[1:]):
            raise ValueError("inputs.0 must be float32 or uint8 with a fixed size on every axis but B")
        for index, rule in enumerate(self.policy.rules if self.policy else ()):
            if rule.score not in self.scores:
                raise ValueError(f"policy.rules.{index}.score must be one of {', '.join(self.scores) or 'none'}")
        return self

    def _check_task(self) -> None:
        classifies = self.task == "classification"
        named, other, least = ("labels", "targets", 2) if classifies else ("targets", "labels", 1)
        if len(getattr(self, named)) < least or getattr(self, other):
            raise ValueError(f"{named} must name at least {least}, and {other} none, for the task {self.task}")
        if self.evaluation is not None and isinstance(self.evaluation, Evaluation) != classifies:
            raise ValueError(f"evaluation must be that of the task {self.task}")
        if self.calibration is not None:
            if self.calibration.intervals if classifies else self.calibration.prediction_sets:
                raise ValueError(f"calibration must be that of the task {self.task}")
            for index, interval in enumerate(self.calibration.intervals):
                if len(interval.factors) != len(self.targets):
                    raise ValueError(f"calibration.intervals.{index}.factors must be {len(self.targets)}")

    def _outputs_of_task(self) -> tuple[Tensor, ...]:
        if self.task == "classification":
            return classifier_outputs()
        return regressor_outputs(any(tensor.name == "aleatoric_variance" for tensor in self.outputs))

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores of a row that a policy may name: of a regressor only where it predicts variances."""
        if self.task == "classification":
            return ("confidence", "entropy", "expected_entropy", "mutual_information", "energy")
        if any(tensor.name == "entropy" for tensor in self.outputs):
            return ("entropy", "expected_entropy", "mutual_information")
        return ()

    @property
    def has_temperature(self) -> bool:
        """Whether the graph has a temperature: all but regressors that predict no variance."""
        return bool(self.scores)

    def same_model(self, other: "Contract") -> bool:
        """Whether another file holds the same model, be it under another plan."""
        parts = {"plan", "compilation"}
        return self.model_dump(exclude=parts) == other.model_dump(exclude=parts)

    @property
    def temperature(self) -> float:
        return self.calibration.temperature if self.calibration else 1.0

    def sizes(self, tensor: Tensor) -> tuple[int | None, ...]:
        """The shape of a tensor in numbers; None for the batch."""
        letters = {"B": None, "N": self.num_submodels, "K": len(self.labels), "D": len(self.targets)}
        return tuple(letters[size] if isinstance(size, str) else size for size in tensor.shape)


def classifier_outputs() -> tuple[Tensor, ...]:
    """The outputs that every classifier has."""
    scores = ("entropy", "expected_entropy", "mutual_information", "energy")
    return (
        Tensor(name="prediction", dtype="int64", shape=("B",), unit="class index"),
        Tensor(name="probabilities", dtype="float32", shape=("B", "K"), unit="probability"),
        Tensor(name="submodels", dtype="float32", shape=("B", "N", "K"), unit="probability"),
        *(Tensor(name=name, dtype="float32", shape=("B",), unit="nats") for name in scores),
        Tensor(name="logits", dtype="float32", shape=("B", "N", "K"), unit="logit, before the temperature"),
    )


def regressor_outputs(aleatoric: bool) -> tuple[Tensor, ...]:
    """The outputs that every regressor has, and those of one whose submodels predict a variance.

    `entropy`, `expected_entropy` and `mutual_information` are those of the normal distribution with the mixture's mean
    and variance, Σ_d ½ ln(2πe·variance_d): differential, so they may be negative.
    """

    def numbers(name: str, unit: str, *shape: Axis) -> Tensor:
        return Tensor(name=name, dtype="float32", shape=("B", *shape), unit=unit)

    squared = "squared unit of the target"
    plain = (
        numbers("prediction", "unit of the target", "D"),
        numbers("submodels", "unit of the target", "N", "D"),
        numbers("variance", squared, "D"),
        numbers("epistemic_variance", squared, "D"),
    )
    if not aleatoric:
        return plain
    scores = ("entropy", "expected_entropy", "mutual_information")
    return (
        *plain,
        numbers("aleatoric_variance", squared, "D"),
        numbers("submodel_variances", squared, "N", "D"),
        *(numbers(name, "nats") for name in scores),
    )


def read(text: str) -> Contract:
    """Reads a contract of this schema version or an earlier one.

    Raises:
        ContractError: it is not JSON, is newer than this reader, or a field is wrong.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ContractError(f"the contract is not JSON: {error}") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise ContractError("schema_version: the contract has none")
    if version > SCHEMA_VERSION:
        raise ContractError(f"schema_version: {version} is newer than {SCHEMA_VERSION}, the newest known here")
    try:
        return Contract.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "contract"
        raise ContractError(f"{field}: {first['msg']}") from None


GraphTensor = tuple[str, Sequence[int | None]]
"""What a graph says of a tensor: dtype and sizes, None where a size is symbolic."""


def check_agreement(
    contract: Contract,
    inputs: dict[str, GraphTensor],
    outputs: dict[str, GraphTensor],
    temperature: float | None,
) -> None:
    """Compares a contract with what its graph says of itself.

    Raises:
        ContractError: they disagree; the message names the field.
    """
    for kind, declared, actual in (
        ("inputs", contract.inputs, inputs),
        ("outputs", contract.outputs, outputs),
    ):
        wanted = {tensor.name: tensor for tensor in declared}
        if wanted.keys() != actual.keys():
            raise ContractError(f"{kind}: declared {', '.join(wanted)}, the graph has {', '.join(actual) or 'none'}")
        for name, tensor in wanted.items():
            dtype, sizes = actual[name]
            if dtype != tensor.dtype:
                raise ContractError(f"{kind}.{name}.dtype: declared {tensor.dtype}, the graph has {dtype}")
            if tuple(sizes) != contract.sizes(tensor):
                spelled = ["B" if size is None else size for size in sizes]
                raise ContractError(f"{kind}.{name}.shape: declared {list(tensor.shape)}, the graph has {spelled}")
    if not contract.has_temperature:
        return
    if temperature is None:
        raise ContractError("calibration.temperature: the graph has no scalar initializer named temperature")
    if not abs(temperature - contract.temperature) <= 1e-6 * contract.temperature:  # NaN is not
        raise ContractError(f"calibration.temperature: declared {contract.temperature}, the graph has {temperature}")
