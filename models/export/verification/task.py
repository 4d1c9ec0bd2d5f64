"""The verifier's interface to a task; each kind of task has a file in this folder."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.contract.head import Head

ABSOLUTE, RELATIVE = 1e-6, 1e-5

Arrays = Mapping[str, NDArray[Any]]
"""Outputs of a graph [B, …] by name."""
Raw = NDArray[np.floating[Any]]
"""Outputs of the torch loop, [B, N, …]."""


class TaskVerifier(ABC):
    """One kind of answer: its expected outputs and their tolerance."""

    allowed: ClassVar[str]
    """The tolerance in words."""

    @abstractmethod
    def expected(self, raw: Raw, head: Head) -> dict[str, NDArray[Any]]:
        """Every output of the graph, in float64."""

    @abstractmethod
    def shares(self, found: Arrays, raw: Raw, head: Head) -> dict[str, float]:
        """The largest difference of each output as a share of what is allowed; NaN where it is not finite."""
