"""A data set: three splits of inputs and labels, and the names of the classes or of the numbers to predict."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.contract.axis import Axes
from app.contract.tasks import TaskName


class DatasetError(ValueError):
    """A data set is not available, or one of its files is not as expected."""


class Lazy(Protocol):
    """Inputs too large for memory; rows are read on access."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[np.uint8]: ...

    @property
    def digest(self) -> str:
        """Identifies the inputs without reading them all."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Split:
    """Inputs float32, uint8 or int64 [B, …] and class indices int64 [B]; for multilabel whether each label is on, bool
    [B, K]; for regression the true values float32 [B, D]."""

    inputs: NDArray[np.float32] | NDArray[np.uint8] | NDArray[np.int64] | Lazy
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """`train` fits weights, `calibration` temperature and quantiles, `test` nothing. A split may be empty."""

    name: str
    classes: tuple[str, ...]
    """Names of the classes or labels in order; empty if the data has none."""
    train: Split
    calibration: Split
    test: Split
    value_range: tuple[float, float] | None
    """Smallest and largest possible input value, if its unit has such."""
    unit: str
    layout: str
    targets: tuple[tuple[str, str], ...] = ()
    """Name and unit of each of the D numbers to predict; empty for classes."""
    task: TaskName = "classification"
    input_shape: tuple[int | str, ...] = ()
    """Of a row, with a letter for each axis of free size, such as (1, "H", "W"); empty: the rows' own."""
    axes: Axes = field(default_factory=dict)
    """The sizes that those axes may have."""

    @property
    def colour(self) -> Literal["grey", "rgb"] | None:
        """Of images of one or three channels; None of other inputs."""
        colours: dict[int, Literal["grey", "rgb"]] = {1: "grey", 3: "rgb"}
        return colours.get(self.train.inputs.shape[1]) if self.layout else None


def shuffled(count: int, seed: int) -> NDArray[np.int64]:
    """A permutation of range(count), the same everywhere for a seed."""
    # NumPy promises the raw stream of PCG64 for good, not that of Generator.permutation
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable")
