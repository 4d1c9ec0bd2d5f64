from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.contract.axis import FreeAxis
from models.data import Dataset, Split, load
from models.data.clutter import clutter
from models.data.digests import split_digest
from models.data.draws import Draws
from models.data.fashion_mnist import fashion_mnist
from models.data.scenes import DIGIT, OWN, Piece, compose, digit_cells, digits, items, paste, with_digits
from tests.models import official

SIZES = [(64, 64), (32, 32), (96, 64), (40, 120)]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """50 of noise in a frame of 2 dark pixels, five of each class."""
    pixels = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
    pixels[:, :2], pixels[:, -2:], pixels[:, :, :2], pixels[:, :, -2:] = 0, 0, 0, 0
    folder = tmp_path_factory.mktemp("pictures")
    official.fashion_mnist(folder, "t10k", pixels, np.arange(50, dtype=np.uint8) % 10)
    official.fashion_mnist(folder, "train", pixels, np.arange(50, dtype=np.uint8) % 10)
    return fashion_mnist(folder).test


def truth(
    pieces: Iterable[Piece], canvas: NDArray[np.uint8], labels: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """What the cells show, asked one by one: the last piece whose pixel there is bright enough, or what was there."""
    canvas, labels = canvas.copy(), labels.copy()
    for piece in pieces:
        for y, x in np.argwhere(piece.pixels >= OWN):
            if 0 <= y + piece.top < canvas.shape[0] and 0 <= x + piece.left < canvas.shape[1]:
                canvas[y + piece.top, x + piece.left] = piece.pixels[y, x]
                labels[y + piece.top, x + piece.left] = piece.label
    return canvas, labels


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_cell_has_the_class_of_what_it_shows(pictures: Split, height: int, width: int) -> None:
    found = compose(pictures, 5, height, width, seed=3)
    assert found.inputs.shape == (5, 1, height, width)
    assert found.inputs.dtype == np.uint8
    assert found.labels.dtype == np.int64
    for index in range(5):
        draws = Draws(3, index)
        background = clutter(height, width, draws)
        pieces = list(items(pictures, height, width, draws))
        canvas, labels = truth(pieces, background, np.zeros_like(found.labels[index]))
        np.testing.assert_array_equal(found.inputs[index, 0], canvas)
        np.testing.assert_array_equal(found.labels[index], labels)
        assert (labels == 0).any()
        assert (labels > 0).any()


@pytest.mark.parametrize(("height", "width", "least", "most"), [(64, 64, 2, 5), (32, 32, 1, 1), (200, 120, 15, 30)])
def test_the_number_of_items_grows_with_the_canvas(
    pictures: Split, height: int, width: int, least: int, most: int
) -> None:
    counts = [len(list(items(pictures, height, width, Draws(index)))) for index in range(100)]
    assert (min(counts), max(counts)) == (least, most)


def test_items_differ_in_class_size_and_place(pictures: Split) -> None:
    pieces = [piece for index in range(200) for piece in items(pictures, 64, 96, Draws(index))]
    assert {piece.label for piece in pieces} == set(range(1, 11))
    assert {piece.pixels.shape for piece in pieces} == {(side, side) for side in range(22, 36)}
    for start, size in (("top", 64), ("left", 96)):
        over = [(-getattr(piece, start), getattr(piece, start) + len(piece.pixels) - size) for piece in pieces]
        assert max(before for before, _ in over) > 0
        assert max(after for _, after in over) > 0
        assert all(max(beyond) <= len(piece.pixels) // 4 for beyond, piece in zip(over, pieces))


def test_a_label_is_that_of_the_picture(pictures: Split) -> None:
    brightness = (pictures.labels + 5) * 17
    flat = np.broadcast_to(brightness[:, None, None, None] / np.float32(255), (50, 1, 28, 28)).astype(np.float32)
    found = compose(Split(flat, pictures.labels), 20, 64, 64, seed=0)
    shown = found.labels > 0
    np.testing.assert_array_equal(found.inputs[:, 0][shown], (found.labels[shown] - 1 + 5) * 17)


def test_a_later_piece_hides_an_earlier_one_and_dark_pixels_hide_nothing() -> None:
    canvas, labels = np.full((3, 4), 7, np.uint8), np.zeros((3, 4), np.int64)
    paste(Piece(np.full((2, 2), 100, np.uint8), 1, 0, 0), canvas, labels)
    paste(Piece(np.array([[OWN, OWN - 1], [OWN - 1, 200]], np.uint8), 2, 0, 1), canvas, labels)
    paste(Piece(np.full((5, 5), 50, np.uint8), 3, 2, -4), canvas, labels)  # over three edges
    assert canvas.tolist() == [[100, OWN, 7, 7], [100, 100, 200, 7], [50, 7, 7, 7]]
    assert labels.tolist() == [[1, 2, 0, 0], [1, 1, 2, 0], [3, 0, 0, 0]]


def test_scenes_are_the_same_for_a_seed_however_many(pictures: Split) -> None:
    six, two, other = (compose(pictures, count, 32, 64, seed) for count, seed in ((6, 0), (2, 0), (6, 1)))
    assert split_digest(Split(six.inputs[:2], six.labels[:2])) == split_digest(two)
    assert split_digest(two) == "cf2b3acd83edeebb42e0ba737ad4806caaa7727c65f19617f064de926e6b8cf3"
    assert (six.inputs != other.inputs).any(axis=(1, 2, 3)).all()
    assert len({scene.tobytes() for scene in six.inputs}) == 6


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_digits_hide_what_lies_beneath_and_their_cells_are_known(pictures: Split, height: int, width: int) -> None:
    plain = compose(pictures, 5, height, width, seed=0)
    before = split_digest(plain)
    found = with_digits(plain, seed=4)
    assert split_digest(plain) == before
    for index in range(5):
        pieces = list(digits(height, width, Draws(4, index)))
        canvas, labels = truth(pieces, plain.inputs[index, 0], plain.labels[index])
        np.testing.assert_array_equal(found.inputs[index, 0], canvas)
        np.testing.assert_array_equal(found.labels[index], labels)
        assert {piece.label for piece in pieces} == {DIGIT}
        assert 0.02 < (labels == DIGIT).mean() < 0.6


@pytest.fixture
def found(pictures: Split, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The data set, if the splits of Fashion-MNIST had one class each, and with few scenes."""
    module = __import__("models.data.scenes", fromlist=["_"])
    train, calibration, test = (Split(pictures.inputs[kind::10], pictures.labels[kind::10]) for kind in range(3))
    clothing = Dataset("fashion-mnist", (), train, calibration, test, (0, 1), "", "BCHW")
    monkeypatch.setattr(module, "fashion_mnist", {None: clothing}.__getitem__)
    for name, count in (("_TRAIN", 12), ("_CALIBRATION", 7), ("_TEST", 5)):
        monkeypatch.setattr(module, name, count)
    return load("scenes")


def test_each_split_is_made_of_its_own_pictures(found: Dataset) -> None:
    for split, count, label in ((found.train, 12, 1), (found.calibration, 7, 2), (found.test, 5, 3)):
        assert split.inputs.shape == (count, 1, 64, 64)
        assert split.labels.shape == (count, 64, 64)
        assert set(np.unique(split.labels)) == {0, label}
    assert (found.train.inputs[:5] != found.test.inputs).mean() > 0.5  # the clutter is another, too


def test_it_says_that_sizes_are_free(found: Dataset) -> None:
    assert (found.name, found.task, found.colour, found.layout) == ("scenes", "classification", "grey", "BCHW")
    assert (found.classes[0], found.classes[1], len(found.classes)) == ("background", "t-shirt/top", DIGIT)
    assert found.input_shape == (1, "H", "W")
    assert found.axes == dict.fromkeys("HW", FreeAxis(least=32, most=512, multiple_of=8))


def test_the_folder_is_that_of_fashion_mnist(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds neither train-images"):
        load("scenes", tmp_path)


def test_cells_of_digits_are_known(found: Dataset) -> None:
    inputs, strange = digit_cells(found.test)
    made = with_digits(found.test)
    np.testing.assert_array_equal(inputs, made.inputs)
    np.testing.assert_array_equal(strange, made.labels == DIGIT)
    assert 0 < strange.mean() < 0.5
