"""Two noisy sinusoidal curves in the plane, red and blue: the toy of the Masksembles paper (Durasov et al., CVPR 2021,
figure 4), where uncertainty should grow where the curves cross and away from them."""

from pathlib import Path

import numpy as np

from models.data.dataset import Dataset, DatasetError, Split

_TRAIN, _CALIBRATION, _TEST = 500, 500, 500
_HEIGHT, _NOISE = 2.0, 0.3


def sinusoids(folder: Path | None = None) -> Dataset:
    """500 points to train, 500 to calibrate, 500 to test: inputs float32 [B, 2], the coordinates (x, y), as many red
    as blue. x is uniform in [−5, 5], y = 2 sin x (red) or −2 sin x (blue) plus Gaussian noise of σ 0.3, so 4 % of the
    points, where the curves cross, lie nearer to the other curve.

    The paper gives the range of x, but neither the curves nor the noise: those are ours. They are computed, so there
    is no `folder`.

    Raises:
        DatasetError: a folder is given.
    """
    if folder is not None:
        raise DatasetError(f"{folder}: the sinusoids are computed, there is nothing to read from a folder")
    rng = np.random.Generator(np.random.PCG64(0))
    count = _TRAIN + _CALIBRATION + _TEST
    labels = np.arange(count, dtype=np.int64) % 2
    x = rng.uniform(-5, 5, count)
    y = _HEIGHT * np.sin(x) * (1 - 2 * labels) + rng.normal(0, _NOISE, count)
    inputs = np.stack([x, y], axis=1).astype(np.float32)
    calibration, test = _TRAIN, _TRAIN + _CALIBRATION
    return Dataset(
        name="sinusoids",
        classes=("red", "blue"),
        train=Split(inputs[:calibration], labels[:calibration]),
        calibration=Split(inputs[calibration:test], labels[calibration:test]),
        test=Split(inputs[test:], labels[test:]),
        value_range=None,
        unit="coordinate",
        layout="",
        features=("x", "y"),
    )
