"""The 8×8 handwritten digits that scikit-learn ships (UCI, 1797 images), grey values in [0, 1]."""

from pathlib import Path

import numpy as np

from models.data.dataset import Dataset, DatasetError, Split, shuffled

_TEST, _CALIBRATION = 300, 300


def digits(folder: Path | None = None) -> Dataset:
    """1197 images to train, 300 to calibrate, 300 to test: inputs float32 [B, 1, 8, 8]. They come with
    scikit-learn, so there is no `folder`.

    Raises:
        DatasetError: a folder is given.
    """
    if folder is not None:
        raise DatasetError(f"{folder}: the digits come with scikit-learn, there is nothing to read from a folder")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = shuffled(len(bunch.target), seed=0)
    # grey values are 0 to 16
    inputs = (bunch.images / 16).astype(np.float32)[order, None]
    labels = bunch.target.astype(np.int64)[order]
    test, calibration = _TEST, _TEST + _CALIBRATION
    return Dataset(
        name="digits",
        classes=tuple(str(digit) for digit in range(10)),
        train=Split(inputs[calibration:], labels[calibration:]),
        calibration=Split(inputs[test:calibration], labels[test:calibration]),
        test=Split(inputs[:test], labels[:test]),
        value_range=(0.0, 1.0),
        unit="grey value, 0 background to 1 ink",
        layout="BCHW",
    )
