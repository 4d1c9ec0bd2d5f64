"""An input or output of a graph, and the letters that stand for the sizes of its axes."""

from math import inf
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from app.contract.contract_model import ContractModel

Axis = Annotated[int, Field(ge=1)] | Literal["B", "N", "K", "D"]
"""A size, or B for the batch, N for the submodels, K for the classes, D for the targets."""
Dtype = Literal["float32", "uint8", "int64"]


class Tensor(ContractModel):
    """An input or output of the graph; the first axis of its shape is B."""

    name: str
    dtype: Dtype
    shape: tuple[Axis, ...]
    unit: str
    range: tuple[float, float] | None = None
    """Smallest and largest value; an input outside is refused."""
    layout: str | None = None
    """A letter for each axis of an image, such as BCHW."""
    colour: Literal["grey", "rgb"] | None = None
    resize: Literal["stretch", "crop"] | None = None
    """How an image of another size is made to fit: `stretch` ignores its proportions, `crop` fills the frame and keeps
    the middle; both bilinear. Without it such an image is refused."""

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return self.range or ((0.0, 255.0) if self.dtype == "uint8" else (-inf, inf))

    @property
    def expected(self) -> str:
        """What a value must be, for messages."""
        low, high = self.limits
        values = "finite numbers" if low == -inf else f"values in [{low:g}, {high:g}]"
        return f"{values} ({self.unit})" if self.unit else values

    @model_validator(mode="after")
    def _batch_first(self) -> Self:
        if not self.shape or self.shape[0] != "B" or "B" in self.shape[1:]:
            raise ValueError(f"shape must begin with B, and have B nowhere else, got {list(self.shape)}")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range must be [smallest, largest], got {list(self.range)}")
        return self
