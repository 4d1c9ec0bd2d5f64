"""An input or output of a graph, and the letters that stand for the sizes of its axes."""

from collections.abc import Sequence
from math import inf
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from app.contract.contract_model import ContractModel, Parts

Axis = Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern="^[A-Z](/[1-9][0-9]{0,3})?$")]
"""A size, or B for the batch, N for the submodels, K for the classes or labels, D for the targets; any other letter is
that of a free axis. H/8 is an eighth of H, as in a map that a network has made smaller."""
RESERVED = frozenset("BNKD")
"""Letters that no free axis may have."""
Dtype = Literal["float32", "uint8", "int64", "int32", "bool"]
WHOLE: frozenset[Dtype] = frozenset(("uint8", "int64", "int32"))
"""The dtypes of whole numbers."""


DTYPE_LIMITS: dict[Dtype, tuple[float, float]] = {
    "uint8": (0, 255),
    "bool": (0, 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**53), 2**53),  # beyond, JSON's numbers and the range of a contract lose whole numbers
}


_Names = Annotated[Parts[str], Field(exclude_if=lambda names: not names)]
"""Left out of the document where there are none."""


class Tensor(ContractModel):
    """An input or output of the graph; the first axis of its shape is B."""

    name: str
    dtype: Dtype
    shape: Parts[Axis]
    unit: str
    range: tuple[float, float] | None = None
    """Smallest and largest value; an input outside is refused."""
    channel_ranges: tuple[tuple[float, float], ...] | None = None
    """The same for each channel or feature, on axis 1, of an input that is no image; `range` spans them all."""
    features: _Names = ()
    """The names of the F features of an input [B, F], in order, if they have any."""
    symbols: _Names = ()
    """What each id of an input of whole numbers stands for, from id 0 on, if it is told: a letter, a piece of a
    word; "" for padding and for what is unknown."""
    layout: str | None = None
    """A letter for each axis of an image, such as BCHW."""
    colour: Literal["grey", "rgb"] | None = None
    resize: Literal["stretch", "crop"] | None = None
    """How an image of another size is made to fit: `stretch` ignores its proportions, `crop` fills the frame and keeps
    the middle; both bilinear. Without it such an image is refused."""

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return self.range or DTYPE_LIMITS.get(self.dtype, (-inf, inf))

    def outside(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Which values [B, …] are below the smallest or above the largest; NaN is neither."""
        low, high = self.limits
        if self.channel_ranges is not None:
            # in the values' own precision, as NumPy compares with a number: float32(0.1) is not below 0.1
            pairs = np.array(self.channel_ranges, values.dtype if values.dtype.kind == "f" else np.float64)
            low, high = pairs.T.reshape(2, 1, -1, *[1] * (values.ndim - 2))
        return np.asarray((values < low) | (values > high))

    def expected(self, place: Sequence[int] = ()) -> str:
        """What a value must be, for messages; at a place in the rows [B, …], if its channel matters."""
        if self.dtype == "bool":
            return "true or false"
        low, high = self.channel_ranges[place[1]] if self.channel_ranges and len(place) > 1 else self.limits
        whole = "whole numbers" if self.dtype in WHOLE else "values"
        values = "finite numbers" if low == -inf else f"{whole} in [{low:.16g}, {high:.16g}]"
        return f"{values} ({self.unit})" if self.unit else values

    @model_validator(mode="after")
    def _batch_first(self) -> Self:
        if not self.shape or self.shape[0] != "B" or "B" in self.shape[1:]:
            raise ValueError(f"shape must begin with B, and have B nowhere else, got {list(self.shape)}")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"range must be [smallest, largest], got {list(self.range)}")
        self._check_channels()
        self._check_features()
        self._check_symbols()
        return self

    def _check_channels(self) -> None:
        if self.channel_ranges is None:
            return
        if self.layout is not None or self.colour is not None:
            raise ValueError("channel_ranges: an image has one range for all channels")
        if (len(self.channel_ranges),) != self.shape[1:2]:
            raise ValueError(f"channel_ranges must have one pair for each of {list(self.shape)} on axis 1")
        if any(low >= high for low, high in self.channel_ranges):
            raise ValueError(f"channel_ranges must be [smallest, largest], got {[*map(list, self.channel_ranges)]}")
        lows, highs = zip(*self.channel_ranges)
        if self.range != (min(lows), max(highs)):
            raise ValueError(f"range must span channel_ranges, got {self.range}")

    def _check_features(self) -> None:
        if not self.features:
            return
        if len(self.shape) != 2 or self.shape[1] != len(self.features):
            raise ValueError(f"features must name each of an input [B, {len(self.features)}], got {list(self.shape)}")
        if len(set(self.features)) < len(self.features) or "" in self.features:
            raise ValueError("features must have different names, none of them empty")

    def _check_symbols(self) -> None:
        if not self.symbols:
            return
        low, high = self.limits
        if self.dtype not in WHOLE or low < 0 or high != len(self.symbols) - 1:
            raise ValueError(
                f"symbols must be as many as there are ids, from 0 to the largest of the range, got {len(self.symbols)}"
            )
        spelled = [symbol for symbol in self.symbols if symbol]
        if len(set(spelled)) < len(spelled):
            raise ValueError("symbols must differ, or which id a text has would depend on the reader")


def all_finite(values: NDArray[Any]) -> bool:
    """Whether no number of an array is NaN or infinite; whole numbers never are."""
    # `.all()` would take a detour through Python
    return values.dtype.kind != "f" or bool(np.logical_and.reduce(np.isfinite(values), axis=None))
