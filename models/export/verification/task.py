"""What verifying must know of a task; each kind of task is a file beside this one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from app.contract.schema import Contract

ABSOLUTE, RELATIVE = 1e-6, 1e-5

Arrays = Mapping[str, NDArray[Any]]
"""Outputs of a graph [B, …] by name."""
Raw = NDArray[np.floating[Any]]
"""What the torch loop gives, [B, N, …]."""


class TaskVerifier(ABC):
    """One kind of answer: what its outputs should be, and how far they may be off."""

    allowed: ClassVar[str]
    """What may differ, in words."""

    @abstractmethod
    def shares(self, found: Arrays, raw: Raw, contract: Contract) -> dict[str, float]:
        """The largest difference of each output as a share of what is allowed; NaN where it is not finite."""
