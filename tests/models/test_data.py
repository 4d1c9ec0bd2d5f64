from pathlib import Path

import pytest

from models.data import LOADERS, DatasetError, load


@pytest.mark.parametrize("name", ["", "mnist", "Digits", "digits.npy", "../digits"])
def test_an_unknown_name_lists_those_there_are(name: str) -> None:
    with pytest.raises(DatasetError, match=f"expected one of {', '.join(sorted(LOADERS))}, or an .npz file"):
        load(name)


def test_a_file_is_read_as_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"rows\.npz: no such file"):
        load(str(tmp_path / "rows.npz"))


def test_a_folder_goes_to_the_loader(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds neither"):
        load("fashion-mnist", tmp_path)
