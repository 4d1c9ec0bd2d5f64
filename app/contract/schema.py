"""The contract of a model: what its file declares about itself, as one JSON document in the ONNX metadata.

The workshop writes it. The service reads it (`reader`) and rejects a file that breaks it (`agreement`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from app.contract.axis import MOST_VALUES, Axes, Padding, divisor_of
from app.contract.contract_model import ContractModel, Fraction, Parts
from app.contract.head import Head
from app.contract.tensor import DTYPE_LIMITS, RESERVED, Tensor

SCHEMA_VERSION = 5

Method = Literal["single", "mc-dropout", "masksembles", "deep-ensemble"]


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

    layers: Parts[MaskedLayer]
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
    method: Method
    num_submodels: Annotated[int, Field(ge=1)]
    masks: Masks | None = None
    inputs: Annotated[Parts[Tensor], Field(min_length=1)]
    axes: Axes = Field(default_factory=dict)
    """The inputs' axes whose size a request chooses, by the letter in their shapes."""
    heads: Annotated[Parts[Head], Field(min_length=1)]
    plan: Literal["folded", "branches", "grouped"] = "folded"
    """`folded`: submodels in the batch. `branches`, `grouped`: without the channels that a submodel never sees, one
    submodel beside the other or together in grouped convolutions."""
    precision: Literal["float32", "float16"] = "float32"
    """Precision of the graph's body; its last layers and everything after them are float32."""
    compilation: Compilation | None = None
    origin: Origin

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_names("inputs", [given.name for given in self.inputs])
        _check_names("heads", [head.name for head in self.heads])
        if len(self.heads) > 1 and not all(head.name for head in self.heads):
            raise ValueError("heads must all have names where there are several")
        if len(self.heads) == 1 and self.heads[0].name:
            raise ValueError("heads.0.name must be empty, since there is one head")
        self._check_axes()
        for letter, axis in self.axes.items():
            if axis.padding is not None:
                self._check_padding(letter, axis.padding)
        return self

    def _check_axes(self) -> None:
        letters: set[str] = set()
        for index, given in enumerate(self.inputs):
            own = {size for size in given.shape[1:] if isinstance(size, str)}
            if unknown := sorted(own - self.axes.keys()):
                raise ValueError(f"inputs.{index}.shape: axes must bound {unknown[0]}")
            if own and given.resize is not None:
                raise ValueError(f"inputs.{index}.resize must be absent: with free axes a picture keeps its size")
            letters |= own
        if unused := sorted((self.axes.keys() - letters) | (self.axes.keys() & RESERVED)):
            raise ValueError(f"axes.{unused[0]} must be the letter of an axis of an input, other than B, N, K and D")
        values = sum(math.prod(self.row_sizes(given, "most")) for given in self.inputs)
        if letters and values > MOST_VALUES:
            raise ValueError(f"axes: a row of the largest size must have at most {MOST_VALUES} values, got {values}")
        for index, head in enumerate(self.heads):
            for size in head.grid:
                self._check_grid(f"heads.{index}.grid", size)

    def _check_grid(self, field: str, size: int | str) -> None:
        if not isinstance(size, str):
            return
        axis = self.axes.get(size[0])
        if axis is None:
            raise ValueError(f"{field}: {size} must be a free axis, or a fraction of one")
        if axis.multiple_of % divisor_of(size):
            raise ValueError(f"{field}: axes.{size[0]}.multiple_of must be a multiple of {divisor_of(size)}")
        if axis.padding is not None:
            raise ValueError(f"{field}: {size[0]} must not be padded, since its scores are means over the grid")

    def _check_padding(self, letter: str, padding: Padding) -> None:
        field = f"axes.{letter}.padding"
        padded = {given.name: given for given in self.inputs if letter in given.shape}
        for name in padding.fill:
            if name not in padded:
                raise ValueError(f"{field}.fill must name inputs with the axis {letter}, got {name}")
            low, high = DTYPE_LIMITS.get(padded[name].dtype, (-math.inf, math.inf))
            whole = padded[name].dtype == "float32" or padding.fill[name].is_integer()
            if not whole or not low <= padding.fill[name] <= high:
                raise ValueError(f"{field}.fill.{name} must be a value of {padded[name].dtype}")
        if padding.mark is None:
            return
        mark = padded.get(padding.mark)
        if mark is None or mark.dtype not in ("bool", "int32", "int64") or mark.shape != ("B", letter):
            raise ValueError(f"{field}.mark must name an input [B, {letter}] of type bool, int32 or int64")
        if padding.fill.get(padding.mark):
            raise ValueError(f"{field}.fill.{padding.mark} must be 0, since it marks the real entries")

    @property
    def head(self) -> Head:
        """The only head.

        Raises:
            ValueError: there are several.
        """
        if len(self.heads) > 1:
            raise ValueError(f"the model has several heads: {', '.join(head.name for head in self.heads)}")
        return self.heads[0]

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The outputs of the graph, in order, with numbers for N, K and D."""
        return tuple(head.resolved(tensor, self.num_submodels) for head in self.heads for tensor in head.outputs)

    def with_head(self, head: Head, **changes: Any) -> "Contract":
        """The same contract with some fields of a head changed."""
        changed = head.model_copy(update=changes)
        return self.model_copy(update={"heads": tuple(changed if one is head else one for one in self.heads)})

    @property
    def given(self) -> Tensor:
        """The only input.

        Raises:
            ValueError: there are several.
        """
        if len(self.inputs) > 1:
            raise ValueError(f"the model has several inputs: {', '.join(given.name for given in self.inputs)}")
        return self.inputs[0]

    def same_model(self, other: "Contract") -> bool:
        """Whether another file holds the same model, perhaps with another plan."""
        parts = {"plan", "compilation"}
        return self.model_dump(exclude=parts) == other.model_dump(exclude=parts)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever relies on the model should know, in words."""
        return tuple(
            f"{head.name}: {warning}" if head.name else warning for head in self.heads for warning in head.warnings
        )

    def row_sizes(self, given: Tensor, bound: Literal["least", "most"]) -> tuple[int, ...]:
        """The sizes of an input's smallest or largest row."""
        return tuple(getattr(self.axes[size], bound) if isinstance(size, str) else size for size in given.shape[1:])

    def misfit(
        self, given: Tensor, sizes: Sequence[int], found: dict[str, int] | None = None
    ) -> tuple[int, str] | None:
        """The first axis of an input [B, …] that a row of these sizes does not fit, and what was expected there; None
        if it fits. The number of axes must be the declared one.

        Args:
            found: the sizes of letters on other inputs of the request; those of this one are added.
        """
        found = {} if found is None else found
        for index, (declared, size) in enumerate(zip(given.shape[1:], sizes), 1):
            if not isinstance(declared, str):
                if size != declared:
                    return index, f"expected {declared} here, got {size}"
            elif not self.axes[declared].takes(size):
                return index, f"expected {declared} = {self.axes[declared].expected}, got {size}"
            elif found.setdefault(declared, size) != size:
                return index, f"expected the same {declared} on all its axes, got {found[declared]} and {size}"
        return None


def _check_names(field: str, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{field} must have different names, got {name!r} twice")


def numbers(shape: Sequence[int | str]) -> tuple[int | None, ...]:
    """A shape in numbers, None for the batch and for free axes."""
    return tuple(None if isinstance(size, str) else size for size in shape)


def shape_at(shape: Sequence[int | str], letters: Mapping[str, int]) -> tuple[int, ...]:
    """A shape in numbers, given the sizes of B and of free axes by their letters."""
    return tuple(letters[size[0]] // divisor_of(size) if isinstance(size, str) else size for size in shape)
