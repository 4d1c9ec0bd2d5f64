import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.data import DatasetError, load
from tests.models.official import CIFAR_10 as NAMES
from tests.models.official import cifar_10_binary as binary


def batch(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3, 32, 32), np.uint8), rng.integers(0, 10, count, np.uint8)


def python2(pictures: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> bytes:
    """A pickle of protocol 2 with byte strings, as Python 2 wrote the official files."""

    def string(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    count = struct.pack("<H", len(pictures))
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + string(b"b") + b"\x87R"
        b"(K\x01M" + count + b"M\x00\x0c\x86cnumpy\ndtype\n" + string(b"u1") + b"K\0K\x01\x87R"
        b"(K\x03" + string(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"
        b"T" + struct.pack("<I", pictures.size) + pictures.tobytes() + b"tb"
    )
    labels = b"](" + b"".join(b"K" + bytes([kind]) for kind in kinds) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(b"labels") + labels + b"u."


def python3(pictures: NDArray[np.uint8], kinds: NDArray[np.uint8]) -> bytes:
    return pickle.dumps({b"data": pictures.reshape(-1, 3072), b"labels": kinds.tolist()}, protocol=4)


FORMS = pytest.mark.parametrize(
    ("form", "suffix", "inner"),
    [
        (binary, ".bin", ""),
        (binary, ".bin", "cifar-10-batches-bin"),
        (python2, "", "cifar-10-batches-py"),
        (python3, "", ""),
    ],
)


@FORMS
def test_reads_the_official_forms(tmp_path: Path, form: Callable[..., bytes], suffix: str, inner: str) -> None:
    folder = tmp_path / inner
    folder.mkdir(exist_ok=True)
    batches = [batch(20, seed) for seed in range(len(NAMES))]
    for name, rows in zip(NAMES, batches):
        (folder / f"{name}{suffix}").write_bytes(form(*rows))
    found = load("cifar-10", tmp_path)
    assert [len(split) for split in (found.train, found.calibration, found.test)] == [90, 10, 20]
    assert (found.test.inputs == batches[-1][0]).all()
    assert (found.test.labels == batches[-1][1]).all()
    assert (found.train.inputs.dtype, found.train.labels.dtype) == (np.uint8, np.int64)
    labels = {picture.tobytes(): kind for pictures, kinds in batches[:5] for picture, kind in zip(pictures, kinds)}
    assert len(labels) == 100
    for split in (found.train, found.calibration):
        assert [labels.pop(split.inputs[row].tobytes()) for row in range(len(split))] == split.labels.tolist()


def write(folder: Path, suffix: str, content: bytes) -> None:
    for name in NAMES:
        (folder / f"{name}{suffix}").write_bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (binary(*batch(3, 0))[:-1], "expected records of 3073 bytes, got 9218 bytes"),
        (b"", "expected records of 3073 bytes, got 0 bytes"),
        (b"\x0a" + bytes(3072), "expected labels from 0 to 9, got 10 to 10"),
    ],
)
def test_what_is_wrong_with_a_binary_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, ".bin", content)
    with pytest.raises(DatasetError, match=rf"data_batch_1\.bin: {message}"):
        load("cifar-10", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        python2(*batch(3, 0))[:-100],
        b"",
        b"\x89PNG\r\n",
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": 1, b"labels": [1]}),
        pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [1, 2]}, protocol=4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, protocol=4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": ["a", "b"]}, protocol=4),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"fine_labels": [1, 2]}, protocol=4),
    ],
)
def test_what_is_wrong_with_a_python_file_is_named(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "", content)
    with pytest.raises(DatasetError, match="data_batch_1: expected a pickled dictionary with data uint8"):
        load("cifar-10", tmp_path)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "", pickle.dumps(Harmful()))
    with pytest.raises(DatasetError, match=r"expected plain values and arrays, it asks for posix\.mkdir"):
        load("cifar-10", tmp_path)
    assert not Path("harm").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, ".bin", binary(*batch(1, 0)))
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(DatasetError, match=r"data_batch_3\.bin: no such file or directory"):
        load("cifar-10", tmp_path)


@pytest.mark.parametrize("given", [True, False])
def test_without_files_it_says_what_to_fetch(tmp_path: Path, given: bool) -> None:
    with pytest.raises(DatasetError, match=r"cifar-10-binary\.tar\.gz or cifar-10-python\.tar\.gz of https://"):
        load("cifar-10", tmp_path if given else None)
