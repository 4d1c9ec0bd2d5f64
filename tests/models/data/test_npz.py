from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.data import DatasetError, load


def test_reads_inputs_labels_and_classes(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, inputs=np.ones((3, 2)), labels=np.array([0, 2, 1]), classes=np.array(["a", "b", "c"]))
    found = load(str(path))
    assert found.name == "mine"
    assert found.classes == ("a", "b", "c")
    assert found.calibration.inputs.dtype == np.float32
    assert found.calibration.labels.tolist() == [0, 2, 1]


def test_reads_the_values_of_a_regression(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, inputs=np.ones((3, 2)), labels=np.array([0.5, 2, 1]))
    found = load(str(path))
    assert found.test.labels.dtype == np.float32
    assert found.test.labels.tolist() == [[0.5], [2], [1]]
    assert (found.classes, found.targets) == ((), (("", ""),))
    names, units = np.array(["height", "weight"]), np.array(["m", "kg"])
    np.savez(path, inputs=np.ones((3, 2)), labels=np.ones((3, 2)), targets=names, units=units)
    assert load(str(path)).targets == (("height", "m"), ("weight", "kg"))


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8])
def test_labels_of_two_axes_are_each_on_or_off(tmp_path: Path, dtype: Any) -> None:
    path = tmp_path / "mine.npz"
    labels = np.array([[0, 1], [1, 1], [0, 0]]).astype(dtype)
    np.savez(path, inputs=np.ones((3, 2)), labels=labels, classes=np.array(["a", "b"]))
    found = load(str(path))
    assert (found.task, found.classes, found.targets) == ("multilabel", ("a", "b"), ())
    assert found.test.labels.dtype == bool
    assert found.test.labels.tolist() == [[False, True], [True, True], [False, False]]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.ones((3, 2))}, "lacks the array labels"),
        ({"inputs": np.ones((3, 2)), "labels": np.array([0, 1])}, "one class index, 0 or more, for each"),
        ({"inputs": np.ones((3, 2)), "labels": np.array([True, False, True])}, "one class index, 0 or more, for"),
        (
            {"inputs": np.ones((3, 2)), "labels": np.array([0.5, 1])},
            r"values \[B\] or \[B, D\] for the 3 inputs, got float64 \[2\]",
        ),
        (
            {"inputs": np.ones((3, 2)), "labels": np.array([0.5, 1, np.nan])},
            r"labels\[2\]: expected finite values .*, got nan",
        ),
        (
            {"inputs": np.ones((3, 2)), "labels": np.array([[0], [2], [1]])},
            r"labels\[1\]: expected 0 or 1 for each label of a row, or, as \[B\], one class index .*, got \[2\]",
        ),
        ({"inputs": np.ones((3, 2)), "labels": np.ones((2, 2), bool)}, r"labels \[B, K\] of the 3 inputs, got bool"),
        ({"inputs": np.ones((3, 2)), "labels": np.ones((3, 2, 2))}, r"hold values .* got float64 \[3, 2, 2\]"),
        ({"inputs": np.ones((3, 2)), "labels": np.ones((3, 0))}, "hold values"),
        (
            {"inputs": np.ones((3, 2)), "labels": np.ones((3, 2)), "targets": np.array(["a"])},
            r"expected targets to name each of the 2 values, got \(1,\)",
        ),
        (
            {"inputs": np.ones((3, 2)), "labels": np.array([0, 1, 1]), "classes": np.array("a")},
            r"expected classes to name each class \[K\], got \[\]",
        ),
        ({"inputs": np.ones((3, 2)), "labels": np.array([0, 1, -2])}, "one class index, 0 or more, for each"),
        ({"inputs": np.array(["a"]), "labels": np.array([0])}, "expected inputs to be numbers"),
        ({"inputs": np.array([{}]), "labels": np.array([0])}, "plain arrays"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    with pytest.raises(DatasetError, match=message):
        load(str(path))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, inputs=np.ones((300, 2)), labels=np.zeros(300, int))
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"not a readable \.npz file"):
        load(str(path))


def test_a_file_in_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    with path.open("wb") as file:
        np.save(file, np.ones(3))
    with pytest.raises(DatasetError, match=r"not a readable \.npz file"):
        load(str(path))


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(DatasetError, match=r"expected one of cifar-10, .*digits, fashion-mnist, .*or an \.npz file"):
        load("mnist")
