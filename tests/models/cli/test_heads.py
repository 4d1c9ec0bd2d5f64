"""`calibrate` and `evaluate` of a model with several inputs and heads, within this process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from app.contract.tensor import Dtype, Tensor
from models import artefact, runtime
from models.__main__ import main
from models.cli.rows import data_of
from tests import artefacts
from tests.models.evaluation.answered import CONTRACT
from tests.models.evaluation.two_heads import two_heads

ROWS = np.random.default_rng(0).random((200, 7), np.float32)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With both:1, uncalibrated; beside it rows.npz, whose labels go with its answers."""
    model, contract = two_heads()
    artefacts.write(tmp_path / "repository", "both", model, contract)
    inputs = {"scene": ROWS[:, :4], "state": ROWS[:, 4:]}
    logits, means = runtime.run(model, inputs, ["action.logits", "steering.prediction"]).values()
    action = labels_of(logits.mean(axis=1))
    steering = means + np.random.default_rng(1).normal(0, 0.3, means.shape)
    arrays: dict[str, Any] = {f"inputs.{name}": rows for name, rows in inputs.items()}
    arrays |= {"labels.action": action, "labels.steering": steering}
    np.savez(tmp_path / "rows.npz", **arrays)
    return tmp_path / "repository"


def labels_of(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """The class that each row favours more than others do, every seventh row another one."""
    found = (logits - logits.mean(axis=0)).argmax(axis=-1)
    found[::7] = (found[::7] + 1) % 3
    return np.asarray(found)


def run(command: str, repository: Path, *more: str) -> int:
    rows = ["--data", str(repository.parent / "rows.npz"), "--repository", str(repository)]
    return main([command, "both:1" if command == "calibrate" else "both", *rows, *more])


def test_all_heads_are_calibrated_in_one_version(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = "defer action.entropy>c90, reject mutual_information>p99"
    assert run("calibrate", repository, "--policy", policy, "--risks", "0.6") == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("action: 200 rows of rows: temperature ")
    assert second.startswith("steering: 200 rows of rows: temperature ")
    assert third.startswith("wrote: ")
    model, contract, version = artefact.read(repository, "both")
    assert (version, contract.origin.recalibrated_from) == (2, 1)
    action, steering = contract.heads
    held = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    for head in contract.heads:
        assert head.calibration is not None
        assert held[head.temperature_name] == np.float32(head.calibration.temperature)
        assert head.calibration.temperature not in (1.0, 1.5)
    assert [one.guarantee for one in action.calibration.thresholds].count("risk") > 0
    assert [one.guarantee for one in steering.calibration.thresholds].count("risk") == 0
    assert [rule.score for rule in action.policy.rules] == ["entropy", "mutual_information"]
    assert [rule.score for rule in steering.policy.rules] == ["mutual_information"]


def test_every_line_says_which_head_it_is_about(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = repository.parent / "found.json"
    assert run("calibrate", repository, "--policy", "defer action.entropy>p90") == 0
    capsys.readouterr()
    assert run("evaluate", repository, "--json", str(found), "--figures", str(repository.parent)) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "both:2, masksembles, N = 2"
    assert {line.partition(": ")[0] for line in lines} == {"action", "steering"}
    assert any(line.startswith("action: policy: 90.0 % accepted") for line in lines)
    assert any(line.startswith("steering: rows, 200 test rows: RMSE ") for line in lines)
    heads = json.loads(found.read_text())["both:2"]["heads"]
    assert heads["action"]["test"]["accuracy"] == heads["action"]["evaluation"]["accuracy"]
    assert len(heads["steering"]["evaluation"]["rmse"]) == 2
    assert (repository.parent / "both-2-action.png").exists()


def test_labels_of_every_head_are_wanted(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = dict(np.load(repository.parent / "rows.npz"))
    del rows["labels.action"]
    np.savez(repository.parent / "rows.npz", **rows)
    assert run("evaluate", repository) == 1
    assert "labels: expected action, steering, got steering" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dtype", "given", "as_declared"),
    [
        ("float32", np.array([[1, 2]]), np.float32),
        ("int32", np.array([[1, 2]]), np.int32),
        ("int64", np.array([[1, 2]], np.int32), np.int64),
        ("int32", np.array([[1, 2**40]]), np.int64),
        ("uint8", np.array([[1, 2]]), np.int64),
        ("float32", np.array([[1, 2]], np.uint8), np.uint8),
    ],
)
def test_whole_numbers_of_a_file_become_what_the_model_takes(
    dtype: Dtype, given: NDArray[Any], as_declared: Any, tmp_path: Path
) -> None:
    ids = Tensor(name="ids", dtype=dtype, shape=("B", 2), unit="")
    np.savez(tmp_path / "mine.npz", inputs=given, labels=np.array([0]))
    found = data_of(tmp_path / "mine.npz", "a", CONTRACT.model_copy(update={"inputs": (ids,)})).test.inputs
    assert (found.dtype, found.tolist()) == (as_declared, given.tolist())
