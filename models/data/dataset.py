"""A data set: three splits of inputs and labels, and the names of the classes or of the numbers to predict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.contract.axis import Axes
from app.contract.head import Head
from app.contract.schema import Contract
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
    """Inputs [B, …] and what is true of them."""

    inputs: Any
    """An array, of float32, uint8, int64, int32 or bool, or `Lazy`; where there are several inputs, a mapping from
    their names to such."""
    labels: Any
    """Class indices int64 [B]; for multilabel whether each label is on, bool [B, K]; for regression the true values
    float32 [B, D]. Labels of cells have their grid's axes G last: int64 [B, *G], where −1 is a cell that does not
    count, bool [B, K, *G] and float32 [B, D, *G]. Where there are several heads, a mapping from their names to such."""

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())) if isinstance(self.labels, Mapping) else self.labels)

    def inputs_by_name(self, contract: Contract) -> dict[str, Any]:
        """The inputs of a model, in its order.

        Raises:
            DatasetError: they have other names, or there is one array for several inputs.
        """
        return _by_name("inputs", self.inputs, [given.name for given in contract.inputs])

    def labels_by_head(self, contract: Contract) -> dict[str, Any]:
        """The labels of a model's heads, in its order.

        Raises:
            DatasetError: they have other names, or there is one array for several heads.
        """
        return _by_name("labels", self.labels, [head.name for head in contract.heads])

    def labels_of(self, head: Head) -> NDArray[Any]:
        """The labels of one head, of rows that fit its model."""
        found: NDArray[Any] = self.labels[head.name] if isinstance(self.labels, Mapping) else self.labels
        return found

    def take(self, rows: slice | NDArray[np.int64]) -> "Split":
        """Some of the rows; those of lazy inputs are read."""
        return Split(_taken(self.inputs, rows), _taken(self.labels, rows))


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
    features: tuple[str, ...] = ()
    """Names of the features of rows [B, F]; empty if they have none."""
    symbols: tuple[str, ...] = ()
    """What each id of rows of ids stands for, "" for padding and unknown; empty for other inputs."""

    @property
    def colour(self) -> Literal["grey", "rgb"] | None:
        """Of images of one or three channels; None of other inputs."""
        colours: dict[int, Literal["grey", "rgb"]] = {1: "grey", 3: "rgb"}
        return colours.get(self.train.inputs.shape[1]) if self.layout else None


def shuffled(count: int, seed: int) -> NDArray[np.int64]:
    """A permutation of range(count), the same everywhere for a seed."""
    # NumPy promises the raw stream of PCG64 for good, not that of Generator.permutation
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable")


def _by_name(what: str, arrays: Any, names: list[str]) -> dict[str, Any]:
    if not isinstance(arrays, Mapping):
        if len(names) > 1:
            raise DatasetError(f"{what}: expected an array for each of {', '.join(names)}, got one without a name")
        return {names[0]: arrays}
    if set(arrays) != set(names):
        wanted = ", ".join(filter(None, names)) or "one without a name"
        raise DatasetError(f"{what}: expected {wanted}, got {', '.join(arrays) or 'none'}")
    return {name: arrays[name] for name in names}


def _taken(arrays: Any, rows: slice | NDArray[np.int64]) -> Any:
    return {name: one[rows] for name, one in arrays.items()} if isinstance(arrays, Mapping) else arrays[rows]
