"""Inputs that are read when rows of them are asked for."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.digests import rows_digest


class Lazily:
    """An array's rows, never all at once; remembers how many were."""

    def __init__(self, inputs: NDArray[np.uint8]) -> None:
        self._inputs = inputs
        self.shape, self.dtype = inputs.shape, inputs.dtype
        self.most_at_once = 0

    @property
    def digest(self) -> str:
        return rows_digest(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, rows: Any) -> NDArray[np.uint8]:
        found = self._inputs[rows]
        self.most_at_once = max(self.most_at_once, len(found))
        return found
