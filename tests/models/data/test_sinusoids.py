from pathlib import Path

import numpy as np
import pytest

from models.data import DatasetError, load


def test_the_curves_cross_and_points_scatter_about_them() -> None:
    found = load("sinusoids")
    assert [len(split) for split in (found.train, found.calibration, found.test)] == [500, 500, 500]
    x, y = found.train.inputs.T
    assert found.train.inputs.dtype == np.float32
    assert x.min() >= -5
    assert x.max() <= 5
    assert np.bincount(found.train.labels).tolist() == [250, 250]
    own = 2 * np.sin(x) * (1 - 2 * found.train.labels)
    assert 0.25 < (y - own).std() < 0.35
    wrong = (np.abs(y - own) > np.abs(y + own)).mean()
    assert 0.01 < wrong < 0.08
    assert (load("sinusoids").test.inputs == found.test.inputs).all()


def test_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing to read from a folder"):
        load("sinusoids", tmp_path)
