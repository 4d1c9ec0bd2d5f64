"""The script for the GPU runs here too, on the CPU; what it prints there is no measurement."""

import json
from pathlib import Path

import pytest

from app.engine.device import missing_for_cuda
from tests import artefacts
from tests.bench import gpu
from tests.gpu import exports
from tests.serving import ROOT


@pytest.mark.slow
def test_the_dry_run(tmp_path: Path) -> None:
    made = tmp_path / "rows.json"
    few = ["--networks", "digits", "--batches", "1", "8", "--seconds", "0.02"]
    assert gpu.main(["--device", "cpu", *few, "--json", str(made)]) == 0
    told = json.loads(made.read_text())
    assert (told["failures"], told["left_out"]) == ([], [])
    assert all(file["load"] > 0 for file in told["files"])
    rows = told["rows"]
    plans = {(row["plan"], row["precision"], row["batch"]) for row in rows}
    assert plans == {(plan, precision, batch) for plan in gpu.PLANS for precision in gpu.PRECISIONS for batch in (1, 8)}
    for row in rows:
        assert row["provider"] == "CPUExecutionProvider"
        assert min(row["raw"], row["bound"], row["service"], row["share"]) > 0
        assert (row["ensemble"] is not None) == (row["plan"] == "single")
        assert row["graphs"] is None
        assert row["tf32"] is None
    order = list(dict.fromkeys((row["plan"], row["precision"]) for row in rows))
    assert order == list(gpu.ORDER)


def test_without_time_nothing_is_begun_and_all_is_named(tmp_path: Path) -> None:
    made = tmp_path / "rows.json"
    few = ["--networks", "digits", "--until", "-1", "--packed", str(tmp_path), "--json", str(made)]
    assert gpu.main(["--device", "cpu", *few]) == 1
    told = json.loads(made.read_text())
    assert told["rows"] == []
    assert told["left_out"] == [f"digits.{plan}.{precision}" for plan, precision in gpu.ORDER]


def test_a_file_that_fails_costs_no_other(tmp_path: Path) -> None:
    model, contract = artefacts.read(ROOT / "models" / "repository", "digits", 3)
    for name in ("digits.folded.float32", "digits.single.float32"):
        artefacts.write(tmp_path, name, model, contract)
    (tmp_path / "digits.folded.float32" / "1" / "model.onnx").write_bytes(b"no model")
    made = tmp_path / "rows.json"
    few = ["--networks", "digits", "--batches", "2", "--seconds", "0.01", "--prepared", str(tmp_path)]
    assert gpu.main(["--device", "cpu", *few, "--json", str(made)]) == 1
    told = json.loads(made.read_text())
    assert [row["plan"] for row in told["rows"]] == ["single"]
    (failure,) = told["failures"]
    assert "digits.folded.float32" in failure


@pytest.mark.gpu
@pytest.mark.skipif(missing_for_cuda() is not None, reason=str(missing_for_cuda()))
def test_on_a_gpu(tmp_path: Path) -> None:
    made = tmp_path / "rows.json"
    packed = ["--packed", str(exports.FOLDER)] if exports.names(exports.FOLDER) else []  # else they are exported here
    few = ["--networks", "digits", "--batches", "8", "--seconds", "0.1", *packed]
    assert gpu.main([*few, "--json", str(made)]) == 0
    rows = json.loads(made.read_text())["rows"]
    assert {row["provider"] for row in rows} == {"CUDAExecutionProvider"}
    assert all(row["graphs"] > 0 for row in rows)
