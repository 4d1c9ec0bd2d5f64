"""The script for the GPU runs here too, on the CPU; what it prints there is no measurement."""

import json
from pathlib import Path

import pytest

from app.engine.device import missing_for_cuda
from tests.bench import gpu


@pytest.mark.slow
def test_the_dry_run(tmp_path: Path) -> None:
    made = tmp_path / "rows.json"
    few = ["--networks", "digits", "--batches", "1", "8", "--seconds", "0.02"]
    gpu.main(["--device", "cpu", *few, "--json", str(made)])
    rows = json.loads(made.read_text())["rows"]
    plans = {(row["plan"], row["precision"], row["batch"]) for row in rows}
    assert plans == {(plan, precision, batch) for plan in gpu.PLANS for precision in gpu.PRECISIONS for batch in (1, 8)}
    for row in rows:
        assert row["provider"] == "CPUExecutionProvider"
        assert min(row["raw"], row["bound"], row["service"], row["share"]) > 0
        assert (row["ensemble"] is not None) == (row["plan"] == "single")
        assert row["graphs"] is None


@pytest.mark.gpu
@pytest.mark.skipif(missing_for_cuda() is not None, reason=str(missing_for_cuda()))
def test_on_a_gpu(tmp_path: Path) -> None:
    made = tmp_path / "rows.json"
    gpu.main(["--networks", "digits", "--batches", "8", "--seconds", "0.1", "--json", str(made)])
    rows = json.loads(made.read_text())["rows"]
    assert {row["provider"] for row in rows} == {"CUDAExecutionProvider"}
    assert all(row["graphs"] > 0 for row in rows)
