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
    assert found.test.labels.tolist() == labels.tolist()


def test_several_inputs_and_heads_have_names(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    arrays: dict[str, Any] = {
        "inputs.image": np.zeros((3, 1, 2, 2), np.uint8), "inputs.speed": np.ones((3, 1)),
        "labels.action": np.array([0, 2, 1]), "labels.steering": np.array([0.5, 0, 1]),
    }  # fmt: skip
    np.savez(path, **arrays)
    found = load(str(path)).test
    assert {name: (array.dtype, array.shape) for name, array in found.inputs.items()} == {
        "image": (np.uint8, (3, 1, 2, 2)),
        "speed": (np.float32, (3, 1)),
    }
    assert found.labels["action"].tolist() == [0, 2, 1]
    assert found.labels["steering"].tolist() == [[0.5], [0], [1]]
    assert len(found) == 3


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (np.array([[[0, -1]], [[2, 1]]], np.int16), np.int64),
        (np.zeros((2, 3, 1, 2), bool), np.bool_),
        (np.ones((2, 3, 1, 2)), np.float32),
    ],
)
def test_labels_of_cells_have_the_grid_last(tmp_path: Path, labels: Any, dtype: Any) -> None:
    np.savez(tmp_path / "mine.npz", inputs=np.ones((2, 2)), labels=labels)
    found = load(str(tmp_path / "mine.npz")).test.labels
    assert (found.dtype, found.tolist()) == (dtype, labels.tolist())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float64, np.float32), (np.float16, np.float32), (np.uint8, np.uint8), (np.int32, np.int32),
        (np.int64, np.int64), (np.uint16, np.int64), (bool, bool),
    ],
)  # fmt: skip
def test_whole_numbers_stay_whole(tmp_path: Path, given: Any, kept: Any) -> None:
    np.savez(tmp_path / "mine.npz", inputs=np.ones((2, 2), given), labels=np.array([0, 1]))
    assert load(str(tmp_path / "mine.npz")).test.inputs.dtype == kept


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": np.ones((3, 2))}, "lacks the array labels"),
        ({"inputs": np.ones((3, 2)), "labels": np.array([0, 1])}, "one class index, 0 or more, for each"),
        ({"inputs": np.ones((3, 2)), "labels": np.array([True, False, True])}, "one class index, 0 or more, for"),
        (
            {"inputs": np.ones((3, 2)), "labels": np.array([0.5, 1])},
            r"values \[B\] or \[B, D\] for the 3 inputs, .* got float64 \[2\]",
        ),
        (
            {"inputs": np.ones((3, 2)), "labels": np.array([0.5, 1, np.nan])},
            r"labels\[2\]: expected finite values .*, got nan",
        ),
        (
            {"inputs": np.ones((3, 2)), "labels": np.array([[0], [-2], [1]])},
            "each of their cells, where -1 is none",
        ),
        ({"inputs": np.ones((3, 2)), "labels": np.ones((2, 2), bool)}, r"labels \[B, K\] of the 3 inputs, got bool"),
        ({"inputs": np.ones((3, 2)), "labels": np.ones((2, 2, 2))}, r"hold values .* got float64 \[2, 2, 2\]"),
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
        ({"inputs": np.ones((1, 2)), "inputs.a": np.ones((1, 2)), "labels": np.array([0])}, "got inputs and inputs.a"),
        (
            {"inputs": np.ones((1, 2)), "labels.a": np.array([0]), "labels.b": np.array([[]])},
            "expected labels.b to hold",
        ),
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
