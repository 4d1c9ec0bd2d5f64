"""The handwritten digits (`models.data.digits`) with four traits of each as labels: a small multilabel problem."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from models.data.dataset import Dataset, Split
from models.data.digits import digits

_TRAITS = {"even": (0, 2, 4, 6, 8), "prime": (2, 3, 5, 7), "above-4": (5, 6, 7, 8, 9), "has-a-loop": (0, 6, 8, 9)}


def digit_traits(folder: Path | None = None) -> Dataset:
    """The splits of the digits, labels boolean [B, 4].

    Raises:
        DatasetError: a folder is given.
    """
    found = digits(folder)

    def of(split: Split) -> Split:
        return Split(split.inputs, np.stack([np.isin(split.labels, members) for members in _TRAITS.values()], axis=1))

    return replace(
        found,
        name="digit-traits",
        classes=tuple(_TRAITS),
        train=of(found.train),
        calibration=of(found.calibration),
        test=of(found.test),
        task="multilabel",
    )
