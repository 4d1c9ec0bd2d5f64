"""How well the scores of cells detect cells that are unlike the training data, such as an unknown thing in a scene. No
torch until it is measured."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.evaluation import metrics
from models.evaluation.cells import sample_cells
from models.evaluation.head_session import HeadSession
from models.runtime import Inputs

SCORES = ("entropy", "mutual_information", "energy", "max_probability")
"""Of cells of a classifier; `max_probability` is 1 − max p̄."""


def detect_cells(session: HeadSession, inputs: Inputs, strange: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """AUROC, AUPR and FPR95 of each score, from a sample of the cells of rows, of which some are `strange` [B, *G]."""

    def chunks() -> Iterator[tuple[NDArray[np.bool_], tuple[NDArray[Any], ...]]]:
        for rows, found in session.run_in_parts(inputs, [*SCORES[:-1], "probabilities"]):
            doubt = 1 - found.pop("probabilities").max(axis=1)
            yield np.ones_like(strange[rows]), (*found.values(), doubt, strange[rows])

    *scores, drawn = (array[0] for array in sample_cells(chunks(), strange.size))
    return {name: metrics.detection(values[~drawn], values[drawn]) for name, values in zip(SCORES, scores)}
