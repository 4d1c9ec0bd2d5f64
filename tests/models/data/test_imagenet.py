from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.data import DatasetError, load
from models.data.imagenet import LazyImages, random_box
from tests.models.official import picture

SYNSETS = ("n01", "n02", "n03")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, synset in enumerate(SYNSETS):
        for index in range(10):
            picture(tmp_path / "train" / synset / f"{synset}_{index}.JPEG", seed=number * 10 + index)
        for index in range(number + 1):
            picture(tmp_path / "val" / synset / f"val_{index}.JPEG")
    return tmp_path


def test_folders_are_classes(folder: Path) -> None:
    found = load("imagenet", folder)
    assert [len(split) for split in (found.train, found.calibration, found.test)] == [27, 3, 6]
    assert found.classes == SYNSETS
    assert found.test.labels.tolist() == [0, 1, 1, 2, 2, 2]
    assert found.test.inputs.shape == (6, 3, 224, 224)
    assert found.test.inputs.dtype == np.uint8
    rows = found.train.inputs[np.array([5, 0])]
    assert (rows.shape, rows.dtype) == ((2, 3, 224, 224), np.uint8)
    assert (rows[1] == found.train.inputs[:1][0]).all()
    blue = found.train.inputs[:][:, 2, 200, 20].astype(int)  # tells a picture's number, hence its class
    assert (np.abs(blue // 10 - found.train.labels) <= 1).all()


def test_words_name_the_classes(folder: Path) -> None:
    (folder / "synset_words.txt").write_text("n01 crane\nn02 tench, Tinca tinca\nn03 crane\nn04 else\n")
    assert load("imagenet", folder).classes == ("crane (n01)", "tench, Tinca tinca", "crane (n03)")
    (folder / "synset_words.txt").write_text("n01 crane\nn03 crane\n")
    with pytest.raises(
        DatasetError, match=r"synset_words\.txt: expected a line with the words of each class, lacks n02"
    ):
        load("imagenet", folder)
    (folder / "synset_words.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match=r"synset_words\.txt: expected a text file"):
        load("imagenet", folder)


def test_kaggles_form(folder: Path) -> None:
    inner = folder / "ILSVRC" / "Data" / "CLS-LOC"
    inner.mkdir(parents=True)
    (folder / "train").rename(inner / "train")
    picture(inner / "val" / "val_1.JPEG")
    picture(inner / "val" / "val_2.JPEG")
    solution = folder / "LOC_val_solution.csv"
    solution.write_text("ImageId,PredictionString\nval_2,n03 1 2 3 4 n03 5 6 7 8 \nval_1,n02 1 2 3 4 \n")
    found = load("imagenet", folder)
    assert found.test.labels.tolist() == [1, 2]
    assert found.test.inputs[:].shape == (2, 3, 224, 224)
    for text in ("ImageId,PredictionString\nval_2;n03\n", "", "a\n"):
        solution.write_text(text)
        with pytest.raises(DatasetError, match=r"LOC_val_solution\.csv: expected lines of an image's name"):
            load("imagenet", folder)


def test_evaluation_takes_the_middle(tmp_path: Path) -> None:
    picture(tmp_path / "a.JPEG", 400, 256)
    original = np.asarray(Image.open(tmp_path / "a.JPEG")).transpose(2, 0, 1)
    assert (LazyImages([str(tmp_path / "a.JPEG")])[:] == original[:, 16:240, 88:312]).all()
    picture(tmp_path / "b.JPEG", 224, 224)
    original = np.asarray(Image.open(tmp_path / "b.JPEG")).transpose(2, 0, 1)
    assert (LazyImages([str(tmp_path / "b.JPEG")], shorter=224)[:] == original).all()


def test_every_mode_becomes_three_colours(tmp_path: Path) -> None:
    for mode in ("L", "CMYK"):
        picture(tmp_path / f"{mode}.JPEG", mode=mode)
    Image.new("RGBA", (5, 300)).save(tmp_path / "png.JPEG", "PNG")
    assert LazyImages([str(path) for path in tmp_path.iterdir()])[:].shape == (3, 3, 224, 224)
    assert LazyImages([])[:].shape == (0, 3, 224, 224)


def test_augmented_parts_are_random_and_repeatable(folder: Path) -> None:
    pictures = load("imagenet", folder).train.inputs
    assert isinstance(pictures, LazyImages)
    rows = np.repeat(np.array([3], np.int64), 32)

    def draw(seed: int) -> NDArray[np.uint8]:
        return pictures.augmented(rows, np.random.default_rng(seed))

    found = draw(0)
    assert (found.shape, found.dtype) == ((32, 3, 224, 224), np.uint8)
    assert (found == draw(0)).all()
    assert len({each.tobytes() for each in found}) == 32
    assert (found != draw(1)).any()
    brighter_right = (found[:, 0, :, 200:].mean(axis=(1, 2)) > found[:, 0, :, :24].mean(axis=(1, 2))).mean()
    assert 0.2 < brighter_right < 0.8
    rng = np.random.default_rng(0)
    assert (pictures.augmented(rows[:2], rng) != pictures.augmented(rows[:2], rng)).any()


@pytest.mark.parametrize(("width", "height"), [(500, 375), (40, 400), (400, 40), (1, 1)])
def test_random_boxes_lie_within(width: int, height: int) -> None:
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(500):
        left, top, right, bottom = random_box(width, height, rng)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        shares.append((right - left) * (bottom - top) / (width * height))
    if width == 500:
        assert min(shares) < 0.12
        assert 0.4 < np.mean(shares) < 0.6


def test_a_file_that_is_no_picture_is_named(folder: Path) -> None:
    path = folder / "val" / "n01" / "val_0.JPEG"
    whole = path.read_bytes()
    for content in (b"", b"something else", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"val_0\.JPEG: expected a JPEG file"):
            load("imagenet", folder).test.inputs[:]
    test = load("imagenet", folder).test
    path.unlink()
    with pytest.raises(DatasetError, match=r"val_0\.JPEG: expected a JPEG file"):
        test.inputs[:1]


def test_a_folder_of_another_form_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="imagenet: expected a folder with train/CLASS"):
        load("imagenet")
    with pytest.raises(DatasetError, match="nowhere: expected a folder with train/CLASS"):
        load("imagenet", tmp_path / "nowhere")
    picture(folder / "val" / "n99" / "a.JPEG")
    with pytest.raises(DatasetError, match="n99: a folder of a class that is not among the 3 classes"):
        load("imagenet", folder)
    (tmp_path / "empty" / "train" / "n01").mkdir(parents=True)
    with pytest.raises(DatasetError, match="train: expected JPEG files in the folders of the classes, there are none"):
        load("imagenet", tmp_path / "empty")
    with pytest.raises(DatasetError, match="train: expected a folder with one folder for each class"):
        load("imagenet", tmp_path / "empty" / "train" / "n01")
