from pathlib import Path

import numpy as np
import pytest

from models.data import Dataset, DatasetError, load


def test_a_label_is_a_trait_of_the_digit(digits: Dataset) -> None:
    found = load("digit-traits")
    assert (found.name, found.task, found.classes) == (
        "digit-traits", "multilabel", ("even", "prime", "above-4", "has-a-loop"),
    )  # fmt: skip
    for name in ("train", "calibration", "test"):
        split, plain = getattr(found, name), getattr(digits, name)
        np.testing.assert_array_equal(split.inputs[:], plain.inputs[:])
        assert split.labels.dtype == bool
        np.testing.assert_array_equal(split.labels[:, 0], plain.labels % 2 == 0)
        np.testing.assert_array_equal(split.labels[:, 1], [digit in (2, 3, 5, 7) for digit in plain.labels])
        np.testing.assert_array_equal(split.labels[:, 2], plain.labels > 4)
        np.testing.assert_array_equal(split.labels[:, 3], [digit in (0, 6, 8, 9) for digit in plain.labels])


def test_there_is_no_folder_to_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing to read from a folder"):
        load("digit-traits", tmp_path)
