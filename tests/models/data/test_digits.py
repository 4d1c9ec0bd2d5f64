from pathlib import Path

import numpy as np
import pytest

from models.data import Dataset, DatasetError, load
from tests import pictures


def test_there_is_no_folder_to_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing to read from a folder"):
        load("digits", tmp_path)


def test_no_image_is_in_two_splits(digits: Dataset) -> None:
    assert [len(split) for split in (digits.train, digits.calibration, digits.test)] == [1197, 300, 300]
    images = np.concatenate([split.inputs[:] for split in (digits.train, digits.calibration, digits.test)])
    assert len(np.unique(images.reshape(1797, -1), axis=0)) == 1797


def test_they_are_grey_values_in_their_range(digits: Dataset) -> None:
    inputs = digits.train.inputs[:]
    assert (inputs.dtype.name, inputs.shape[1:]) == ("float32", (1, 8, 8))
    assert (inputs.min(), inputs.max()) == digits.value_range == (0, 1)
    assert digits.colour == "grey"
    assert set(digits.train.labels.tolist()) == set(range(10))


def test_the_file_that_tests_of_the_service_send_holds_the_first_of_the_test_split(digits: Dataset) -> None:
    np.testing.assert_array_equal(pictures.digits(), digits.test.inputs[:200])
