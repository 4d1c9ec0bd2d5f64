from pathlib import Path

import numpy as np
import pytest

from models.data import DatasetError, load


def test_features_and_progression_are_in_natural_units() -> None:
    found = load("diabetes")
    splits = (found.train, found.calibration, found.test)
    assert [len(split) for split in splits] == [242, 100, 100]
    for split in splits:
        assert (split.inputs.shape[1:], split.inputs.dtype) == ((10,), np.float32)
        assert (split.labels.shape[1:], split.labels.dtype) == ((1,), np.float32)
    progression = np.concatenate([split.labels for split in splits])
    assert (progression.min(), progression.max()) == (25, 346)
    assert 40 < found.train.inputs[:, 0].mean() < 60  # years
    assert [name for name, _ in found.targets] == ["progression"]
    assert len(found.features) == 10
    columns = dict(zip(found.features, found.train.inputs.T))
    assert set(columns["sex"]) == {1, 2}
    np.testing.assert_allclose(
        columns["total/HDL cholesterol"], columns["total cholesterol"] / columns["high-density lipoproteins"], atol=1
    )


def test_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing to read from a folder"):
        load("diabetes", tmp_path)
