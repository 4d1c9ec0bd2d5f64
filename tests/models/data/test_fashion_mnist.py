import hashlib
import io
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from models.data import DatasetError, load
from models.data.fashion_mnist import fashion_mnist
from tests.models import official


def write(folder: Path, part: str, count: int, *, labels: int | None = None, highest: int = 9) -> None:
    rng = np.random.default_rng(count)
    pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    kinds = rng.integers(0, highest + 1, count if labels is None else labels, dtype=np.uint8)
    kinds[0] = highest
    official.fashion_mnist(folder, part, pixels, kinds)


def test_splits_do_not_overlap_and_lie_in_range(tmp_path: Path) -> None:
    write(tmp_path, "train", 5010)
    write(tmp_path, "t10k", 7)
    found = load("fashion-mnist", tmp_path)
    assert [len(split) for split in (found.train, found.calibration, found.test)] == [10, 5000, 7]
    assert found.train.inputs.shape == (10, 1, 28, 28)
    assert found.train.inputs.dtype == np.float32
    assert (found.calibration.inputs.min(), found.calibration.inputs.max()) == (0, 1)
    rows = {row.tobytes() for split in (found.train, found.calibration) for row in split.inputs}
    assert len(rows) == 5010
    assert (load("fashion-mnist", tmp_path).train.labels == found.train.labels).all()


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds neither train-images-idx3-ubyte\.gz nor"):
        fashion_mnist(tmp_path)


def test_labels_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write(tmp_path, "train", 12, labels=11)
    with pytest.raises(DatasetError, match=r"labels-idx1-ubyte: expected shape \[12\], the header says \[11\]"):
        fashion_mnist(tmp_path)
    write(tmp_path, "train", 12, highest=10)
    with pytest.raises(DatasetError, match="expected labels from 0 to 9, got 10"):
        fashion_mnist(tmp_path)


def test_a_download_with_a_wrong_checksum_is_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = __import__("models.data.fashion_mnist", fromlist=["_"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_DEBIAN", tmp_path / "nowhere")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(b"something else"))
    with pytest.raises(DatasetError, match="wrong checksum, 14 bytes thrown away"):
        fashion_mnist()
    assert not list((tmp_path / "masksembles" / "fashion-mnist").iterdir())


def test_a_download_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = __import__("models.data.fashion_mnist", fromlist=["_"])
    write(tmp_path, "train", 5001)
    write(tmp_path, "t10k", 3)
    served = {f"{path.name}.gz": path.read_bytes() for path in tmp_path.iterdir()}
    asked: list[str] = []

    def urlopen(address: str, **_: object) -> io.BytesIO:
        asked.append(address.rpartition("/")[2])
        return io.BytesIO(served[asked[-1]])

    sums = {name: hashlib.sha256(content).hexdigest() for name, content in served.items()}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "_DEBIAN", tmp_path / "nowhere")
    monkeypatch.setattr(module, "_SHA256", sums)
    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert len(fashion_mnist().test) == 3
    assert sorted(asked) == sorted(served)
    fashion_mnist()
    assert len(asked) == 4
    assert sorted(path.name for path in (tmp_path / "cache" / "masksembles" / "fashion-mnist").iterdir()) == sorted(
        served
    )


def test_two_downloads_at_once_do_not_write_into_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = __import__("models.data.fashion_mnist", fromlist=["_"])
    content, parts = b"the file", []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(module, "_SHA256", {"a.gz": hashlib.sha256(content).hexdigest()})
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(content))
    replace = module.os.replace

    def slow(part: str, path: Path) -> None:
        parts.append(part)
        if len(parts) == 1:  # another process begins and ends before this one has renamed its file
            module._download()
        replace(part, path)

    monkeypatch.setattr(module.os, "replace", slow)
    assert (module._download() / "a.gz").read_bytes() == content
    assert len(set(parts)) == 2


def test_without_a_network_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(*_: object, **__: object) -> None:
        raise OSError("unreachable")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(__import__("models.data.fashion_mnist", fromlist=["_"]), "_DEBIAN", tmp_path / "nowhere")
    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(DatasetError, match="give a folder that holds the four files"):
        fashion_mnist()
