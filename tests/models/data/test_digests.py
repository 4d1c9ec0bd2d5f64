import os
from pathlib import Path

import numpy as np
import pytest

from models.data import Split
from models.data.corrupted import CIFAR_10_C, IMAGENET_C, LazilyCorrupted
from models.data.digests import contents_digest, listing_digest, rows_digest, split_digest
from models.data.imagenet import LazyImages

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.mark.parametrize(
    "other", [ROWS.astype(np.float64), ROWS.reshape(3, 4), ROWS[::-1], ROWS[:3], np.where(ROWS == 5, 5.5, ROWS)]
)
def test_arrays_of_another_dtype_shape_order_or_value_differ(other: np.ndarray) -> None:
    assert rows_digest(other.astype(other.dtype)) != rows_digest(ROWS)


def test_a_digest_does_not_depend_on_how_an_array_lies_in_memory() -> None:
    assert rows_digest(np.asfortranarray(ROWS)) == rows_digest(ROWS) == rows_digest(np.repeat(ROWS, 2, axis=0)[::2])
    assert rows_digest(ROWS[:0]) != rows_digest(ROWS[:0, :2])


def test_labels_count(tmp_path: Path) -> None:
    assert split_digest(Split(ROWS, np.arange(4))) == split_digest(Split(ROWS.copy(), np.arange(4)))
    assert split_digest(Split(ROWS, np.arange(4))) != split_digest(Split(ROWS, np.arange(4)[::-1]))


def test_the_names_of_several_inputs_count_and_their_order_does_not() -> None:
    labels = np.arange(4)
    found = split_digest(Split({"a": ROWS, "b": ROWS + 1}, labels))
    assert split_digest(Split({"b": ROWS + 1, "a": ROWS}, labels)) == found
    assert split_digest(Split({"b": ROWS, "a": ROWS + 1}, labels)) != found


def test_files_differ_by_contents_or_by_size(tmp_path: Path) -> None:
    one, two = tmp_path / "a" / "x.npy", tmp_path / "b" / "y.npy"
    for path in (one, two):
        path.parent.mkdir()
        path.write_bytes(b"1234")
    contents, listing = contents_digest([one, two]), listing_digest([one, two])
    assert contents_digest([two, one]) == contents
    assert listing_digest([two, one]) != listing  # rows in another order
    os.utime(one, (0, 0))
    assert (contents_digest([one, two]), listing_digest([one, two])) == (contents, listing)
    one.write_bytes(b"5678")
    assert contents_digest([one, two]) != contents
    assert listing_digest([one, two]) == listing
    one.write_bytes(b"567")
    assert listing_digest([one, two]) != listing
    assert len({contents, contents_digest([one]), contents_digest([])}) == 3


def test_images_that_are_read_when_needed(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        path = tmp_path / "n01" / f"{name}.JPEG"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode() * (5 if name == "a" else 6))
        paths.append(str(path))
    images = LazyImages(paths)
    assert rows_digest(images) == LazyImages(paths).digest
    others: list[LazyImages | LazilyCorrupted] = [
        LazyImages(paths[::-1]),
        LazyImages(paths[:1]),
        LazyImages(paths, shorter=224),
    ]
    others += [LazilyCorrupted(images, "fog", severity, "cifar", 0) for severity in (1, 2)]
    assert len({images.digest, *(other.digest for other in others)}) == 6


def test_official_files_are_found_beside_the_data_set(tmp_path: Path) -> None:
    assert CIFAR_10_C.beside(None) is None
    assert CIFAR_10_C.beside(tmp_path) is None
    (tmp_path / "CIFAR-10-C").mkdir()
    assert CIFAR_10_C.beside(tmp_path) == tmp_path / "CIFAR-10-C"
    assert IMAGENET_C.beside(tmp_path) is None
