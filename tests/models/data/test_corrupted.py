from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.data import DatasetError, Split
from models.data.corrupted import cifar10_c, generated, imagenet_c
from models.data.corruptions import KINDS, SEVERITIES, corrupt
from models.data.imagenet import LazyImages
from tests.models import official

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (10, 32, 32, 3), np.uint8)
LABELS = RNG.integers(0, 10, 10, np.uint8)


def write(folder: Path) -> None:
    official.cifar_10_c(folder, ("fog", "brightness"), PICTURES, LABELS)


def test_cifar_10_c_holds_severity_after_severity(tmp_path: Path) -> None:
    write(tmp_path)
    found = list(cifar10_c(tmp_path))
    assert [(kind, severity) for kind, severity, _ in found] == [
        (kind, severity) for kind in ("brightness", "fog") for severity in SEVERITIES
    ]
    split = found[7][2]
    assert (split.inputs[:] == PICTURES[4:6].transpose(0, 3, 1, 2)).all()
    assert split.labels.tolist() == LABELS[4:6].tolist()
    assert split.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("labels", LABELS[:9], r"labels\.npy: expected whole numbers for five severities, got uint8 \[9\]"),
        ("labels", LABELS / 2, r"labels\.npy: expected whole numbers"),
        ("labels", LABELS + 10, r"labels\.npy: expected 0 to 9"),
        ("fog", PICTURES[:5], r"fog\.npy: expected uint8 \[10, 32, 32, 3\], got uint8 \[5, 32, 32, 3\]"),
        ("fog", PICTURES / 255, r"fog\.npy: expected uint8 \[10, 32, 32, 3\], got float64"),
        ("fog", np.array([{}]), r"fog\.npy: not a readable \.npy file"),
    ],
)
def test_what_is_wrong_with_an_array_is_named(tmp_path: Path, name: str, array: np.ndarray, message: str) -> None:
    write(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(DatasetError, match=message):
        list(cifar10_c(tmp_path))


def test_what_is_wrong_with_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"labels\.npy: no such file"):
        list(cifar10_c(tmp_path))
    write(tmp_path)
    path = tmp_path / "fog.npy"
    whole = path.read_bytes()
    for content in (whole[:-1], whole[:20], b"something else", b""):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"fog\.npy: not a readable \.npy file"):
            list(cifar10_c(tmp_path))
    with path.open("wb") as file:
        np.savez(file, PICTURES)
    with pytest.raises(DatasetError, match=r"fog\.npy: expected an \.npy file, got an \.npz file"):
        list(cifar10_c(tmp_path))
    for name in ("fog.npy", "brightness.npy"):
        (tmp_path / name).unlink()
    with pytest.raises(DatasetError, match="there is only labels"):
        list(cifar10_c(tmp_path))


def test_imagenet_c_is_read_lazily_and_not_resized(tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (224, 224, 3), np.uint8)
    for severity in SEVERITIES:
        for synset in ("n01", "n02"):
            folder = tmp_path / "fog" / str(severity) / synset
            folder.mkdir(parents=True)
            Image.fromarray(pixels).save(folder / "a.JPEG")
    found = list(imagenet_c(tmp_path))
    assert [(kind, severity) for kind, severity, _ in found] == [("fog", severity) for severity in SEVERITIES]
    split = found[2][2]
    assert isinstance(split.inputs, LazyImages)
    assert split.labels.tolist() == [0, 1]
    assert (split.inputs[:1][0].transpose(1, 2, 0) == np.asarray(Image.open(folder / "a.JPEG"))).all()
    (folder / "a.JPEG").unlink()
    folder.rmdir()
    with pytest.raises(DatasetError, match="5: expected the same 2 classes as elsewhere, got 1"):
        list(imagenet_c(tmp_path))
    with pytest.raises(DatasetError, match="nowhere: expected a folder with one folder for each kind of corruption"):
        list(imagenet_c(tmp_path / "nowhere"))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_generated_rows_are_corrupts(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.data.corrupted._ROWS", 3)
    pictures = RNG.integers(0, 256, (7, 1, 8, 8), np.uint8)
    scaled = (pictures / np.float32(255)).astype(np.float32)
    split = Split(pictures if dtype == np.uint8 else scaled, np.arange(7))
    found = list(generated(split, "imagenet", seed=2))
    assert [(kind, severity) for kind, severity, _ in found] == [(k, s) for k in KINDS for s in SEVERITIES]
    for kind, severity, corrupted in found:
        expected = corrupt(scaled, kind, severity, seed=2, family="imagenet")
        if dtype == np.uint8:
            expected = np.rint(expected * 255)
        assert corrupted.inputs.dtype == dtype
        assert isinstance(corrupted.inputs, np.ndarray)
        np.testing.assert_allclose(corrupted.inputs, expected, atol=1e-6)
        assert (corrupted.labels == split.labels).all()


def test_lazy_rows_are_corrupted_when_asked_for(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{number}.JPEG") for number in range(3)]
    for path in paths:
        Image.fromarray(RNG.integers(0, 256, (224, 224, 3), np.uint8)).save(path)
    pictures = LazyImages(paths, shorter=224)
    _, _, corrupted = next(generated(Split(pictures, np.zeros(3, np.int64))))
    assert (corrupted.inputs.shape, corrupted.inputs.dtype, len(corrupted.inputs)) == ((3, 3, 224, 224), np.uint8, 3)
    assert not isinstance(corrupted.inputs, np.ndarray)
    whole = corrupted.inputs[:]
    assert (corrupted.inputs[np.array([2])][0] == whole[2]).all()
    assert 5 < np.abs(whole.astype(int) - pictures[:]).mean() < 12


def test_no_rows_and_no_pictures() -> None:
    empty = next(generated(Split(np.zeros((0, 1, 8, 8), np.float32), np.zeros(0, np.int64))))[2]
    assert empty.inputs.shape == (0, 1, 8, 8)
    with pytest.raises(ValueError, match=r"expected images float32 \[B, C, H, W\], got float32 \[2, 2\]"):
        next(generated(Split(np.zeros((2, 2), np.float32), np.zeros(2, np.int64))))
