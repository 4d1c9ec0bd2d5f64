from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from models.data import DatasetError
from models.data.svhn import FILE, svhn
from tests.models import official


def test_pictures_have_their_axes_in_order(tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 3, 32, 32), dtype=np.uint8)
    official.svhn(tmp_path, pictures)
    assert np.array_equal(svhn(tmp_path), pictures)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "no such file"),
        ({"y": np.ones(3)}, "got none"),
        ({"X": np.ones((32, 32, 3, 2))}, r"got float64 \[32, 32, 3, 2\]"),
    ],
)
def test_what_is_no_svhn_says_why(tmp_path: Path, content: dict[str, np.ndarray] | None, why: str) -> None:
    if content is not None:
        savemat(tmp_path / FILE, content)
    with pytest.raises(DatasetError, match=why):
        svhn(tmp_path)


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"MATLAB 5.0 or so")
    with pytest.raises(DatasetError, match="not a readable"):
        svhn(tmp_path)
