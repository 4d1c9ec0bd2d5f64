"""The contract of a model: what its file declares about itself, as one JSON document in the ONNX metadata.

The workshop writes it. The service reads it (`reader`) and rejects a file that breaks it (`agreement`).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from numpy.typing import NDArray
from pydantic import Field, model_validator

from app.contract.axis import MOST_VALUES, Axes
from app.contract.calibration import Calibration
from app.contract.contract_model import ContractModel, Fraction, Score
from app.contract.policy import Policy
from app.contract.tasks import TASKS, Evaluation, Task, TaskName
from app.contract.tasks.task import Arrays
from app.contract.tensor import RESERVED, Tensor

SCHEMA_VERSION = 5

Method = Literal["single", "mc-dropout", "masksembles", "deep-ensemble"]


class Target(ContractModel):
    """One of the D numbers that a regressor predicts."""

    name: str
    unit: str


class MaskedLayer(ContractModel):
    """What the masks of one layer do."""

    scale: float
    """S as configured."""
    effective_scale: float | None = None
    """S of the actual masks; absent if they are disjoint (S = ∞)."""
    channels: int
    kept: int
    iou: Fraction
    """Mean intersection over union of all pairs of masks."""


class Masks(ContractModel):
    """The masks of a Masksembles network, layer by layer, and a digest of all of them."""

    layers: tuple[MaskedLayer, ...]
    digest: str


class Compilation(ContractModel):
    """How the plan of a file came to be."""

    device: Literal["cpu", "cuda"] | None = None
    """The kind of device that the plan is for; absent if it is for all."""
    chosen_by: Literal["rule", "measurement", "force"] | None = None
    reason: str | None = None
    macs: Annotated[int, Field(ge=0)]
    """Multiply-accumulates of convolutions and products for one row, all submodels together."""
    macs_single: Annotated[int, Field(ge=0)]
    """The same for one pass through the network without masks."""


class Origin(ContractModel):
    """Where a model came from."""

    created: str
    """Time of creation, ISO 8601, UTC."""
    software: dict[str, str]
    recipe: dict[str, Any] = Field(default_factory=dict)
    """Network and training settings, if the workshop trained the model."""
    recalibrated_from: int | None = None
    """The version that the weights come from, if only the calibration is new."""


class Contract(ContractModel):
    """Everything the service needs to know about a model, and what a user may ask."""

    schema_version: Annotated[int, Field(ge=1)] = SCHEMA_VERSION
    task: TaskName = "classification"
    method: Method
    num_submodels: Annotated[int, Field(ge=1)]
    masks: Masks | None = None
    inputs: Annotated[tuple[Tensor, ...], Field(min_length=1, max_length=1)]
    outputs: tuple[Tensor, ...]
    axes: Axes = Field(default_factory=dict)
    """The input's axes whose size a request chooses, by the letter in its shape."""
    labels: tuple[str, ...] = ()
    """The K classes of a classifier, or labels of a multilabel model, in order."""
    targets: tuple[Target, ...] = ()
    """For a regressor: the D numbers that it predicts."""
    plan: Literal["folded", "branches", "grouped"] = "folded"
    """`folded`: submodels in the batch. `branches`, `grouped`: without the channels that a submodel never sees, one
    submodel beside the other or together in grouped convolutions."""
    precision: Literal["float32", "float16"] = "float32"
    """Precision of the graph's body; its last layer and everything after it are float32."""
    compilation: Compilation | None = None
    calibration: Calibration | None = None
    policy: Policy | None = None
    evaluation: Evaluation | None = None
    origin: Origin

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self.task_kind.validate(self)
        expected = {tensor.name: tensor for tensor in self.task_kind.outputs(self)}
        found = {tensor.name: tensor for tensor in self.outputs}
        if len(found) != len(self.outputs) or found.keys() != expected.keys():
            raise ValueError(f"outputs must be {', '.join(expected)}, got {', '.join(t.name for t in self.outputs)}")
        for name, tensor in found.items():
            if (tensor.dtype, tensor.shape) != (expected[name].dtype, expected[name].shape):
                raise ValueError(
                    f"outputs.{name} must be {expected[name].dtype} {list(expected[name].shape)}, "
                    f"got {tensor.dtype} {list(tensor.shape)}"
                )
        if self.inputs[0].dtype == "int64":
            raise ValueError("inputs.0 must be float32 or uint8")
        self._check_axes(self.inputs[0])
        for index, rule in enumerate(self.policy.rules if self.policy else ()):
            if rule.score not in self.scores:
                raise ValueError(f"policy.rules.{index}.score must be one of {', '.join(self.scores) or 'none'}")
        return self

    def _check_axes(self, given: Tensor) -> None:
        letters = {size for size in given.shape[1:] if isinstance(size, str)}
        if unknown := sorted(letters - self.axes.keys()):
            raise ValueError(f"inputs.0.shape: axes must bound {unknown[0]}")
        if unused := sorted((self.axes.keys() - letters) | (self.axes.keys() & RESERVED)):
            raise ValueError(f"axes.{unused[0]} must be the letter of an axis of the input, other than B, N, K and D")
        if letters and (values := math.prod(self.row_sizes(given, "most"))) > MOST_VALUES:
            raise ValueError(f"axes: a row of the largest size must have at most {MOST_VALUES} values, got {values}")
        if letters and given.resize is not None:
            raise ValueError("inputs.0.resize must be absent: with free axes a picture keeps its size")

    @property
    def task_kind(self) -> Task:
        """The behaviour that differs by task."""
        return TASKS[self.task]

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores of a row that a policy may name; see the task."""
        return self.task_kind.scores(self)

    def score_values(self, found: Arrays) -> dict[Score, NDArray[Any]]:
        """Each of its scores [B], from the graph's outputs [B, …] by name."""
        return {name: self.task_kind.score_value(name, found) for name in self.scores}

    @property
    def has_temperature(self) -> bool:
        """Whether the graph has a temperature: all but regressors that predict no variance."""
        return bool(self.scores)

    def same_model(self, other: "Contract") -> bool:
        """Whether another file holds the same model, perhaps with another plan."""
        parts = {"plan", "compilation"}
        return self.model_dump(exclude=parts) == other.model_dump(exclude=parts)

    @property
    def temperature(self) -> float:
        return self.calibration.temperature if self.calibration else 1.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever relies on the model should know, in words."""
        return self.calibration.warnings if self.calibration else ()

    def sizes(self, tensor: Tensor) -> tuple[int | None, ...]:
        """The shape of a tensor in numbers, None for the batch and for free axes."""
        letters = {"N": self.num_submodels, "K": len(self.labels), "D": len(self.targets)}
        return tuple(letters.get(size) if isinstance(size, str) else size for size in tensor.shape)

    def row_sizes(self, given: Tensor, bound: Literal["least", "most"]) -> tuple[int, ...]:
        """The sizes of an input's smallest or largest row."""
        return tuple(getattr(self.axes[size], bound) if isinstance(size, str) else size for size in given.shape[1:])

    def misfit(self, given: Tensor, sizes: Sequence[int]) -> tuple[int, str] | None:
        """The first axis of an input [B, …] that a row of these sizes does not fit, and what was expected there; None
        if it fits. The number of axes must be the declared one."""
        found: dict[str, int] = {}
        for index, (declared, size) in enumerate(zip(given.shape[1:], sizes), 1):
            if not isinstance(declared, str):
                if size != declared:
                    return index, f"expected {declared} here, got {size}"
            elif not self.axes[declared].takes(size):
                return index, f"expected {declared} = {self.axes[declared].expected}, got {size}"
            elif found.setdefault(declared, size) != size:
                return index, f"expected the same {declared} on all its axes, got {found[declared]} and {size}"
        return None
