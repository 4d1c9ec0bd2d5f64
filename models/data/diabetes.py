"""The diabetes data that scikit-learn ships (Efron et al., Least Angle Regression, 2004): 442 patients, ten features
and the progression of the disease a year later. A small regression problem with much noise."""

from pathlib import Path

import numpy as np

from models.data.dataset import Dataset, DatasetError, Split, shuffled

_TEST, _CALIBRATION = 100, 100
_FEATURES = (
    "age", "sex", "body mass index", "blood pressure", "total cholesterol", "low-density lipoproteins",
    "high-density lipoproteins", "total/HDL cholesterol", "log of triglycerides", "blood sugar",
)  # fmt: skip


def diabetes(folder: Path | None = None) -> Dataset:
    """242 patients to train, 100 to calibrate, 100 to test: inputs float32 [B, 10], unscaled, labels float32 [B, 1].
    They come with scikit-learn, so there is no `folder`.

    Raises:
        DatasetError: a folder is given.
    """
    if folder is not None:
        raise DatasetError(f"{folder}: diabetes comes with scikit-learn, there is nothing to read from a folder")
    from sklearn.datasets import load_diabetes

    # natural units: scikit-learn's scaling would have used the test rows, too
    bunch = load_diabetes(scaled=False)
    order = shuffled(len(bunch.target), seed=0)
    inputs = bunch.data.astype(np.float32)[order]
    labels = bunch.target.astype(np.float32)[order, None]
    test, calibration = _TEST, _TEST + _CALIBRATION
    return Dataset(
        name="diabetes",
        classes=(),
        train=Split(inputs[calibration:], labels[calibration:]),
        calibration=Split(inputs[test:calibration], labels[test:calibration]),
        test=Split(inputs[:test], labels[:test]),
        value_range=None,
        unit="age in years, sex 1 or 2, body mass index, average blood pressure, six blood serum measurements: total "
        "cholesterol, low-density and high-density lipoproteins, total/HDL, perhaps log of triglycerides, blood sugar",
        layout="",
        features=_FEATURES,
        targets=(("progression", "quantitative measure of disease progression one year after baseline"),),
        task="regression",
    )
