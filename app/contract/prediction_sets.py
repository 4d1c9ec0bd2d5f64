"""Which classes are in a prediction set."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contract.calibration import PredictionSet

TOLERANCE = 1e-6
"""By how much less than a set's least probability a class may have: both are rounded, and a set too wide breaks no
promise."""


def members(one: PredictionSet, probabilities: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The classes [B, K] of each row, most probable first, and how many of them [B] are in its prediction set."""
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    counts = (probabilities >= one.least_probability - TOLERANCE).sum(axis=-1)
    return order, np.maximum(counts, 1)
