from pathlib import Path

import numpy as np
import pytest

from models.data import DatasetError, load


def test_the_curves_are_apart_and_overlap_a_little() -> None:
    found = load("sinusoids")
    assert [len(split) for split in (found.train, found.calibration, found.test)] == [1000, 500, 500]
    x, y = found.train.inputs.T
    assert found.train.inputs.dtype == np.float32
    assert x.min() >= -5
    assert x.max() <= 5
    assert np.abs(y).max() < 4
    assert np.bincount(found.train.labels).tolist() == [500, 500]
    wrong = ((y < np.sin(x)) != found.train.labels).mean()
    assert 0.002 < wrong < 0.05
    assert (load("sinusoids").test.inputs == found.test.inputs).all()


def test_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing to read from a folder"):
        load("sinusoids", tmp_path)
