"""The session for a GPU runs here too, on the CPU: the same code, with small models and no measurement."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu import exports
from tests.serving import ROOT


@pytest.mark.slow
def test_the_dry_run(tmp_path: Path) -> None:
    exports.prepare(tmp_path / "exports", ["digits"], "cpu")
    script = str(ROOT / "tests" / "gpu" / "session.sh")
    command = [script, "--device", "cpu", "--exports", str(tmp_path / "exports"), str(tmp_path)]
    environment = {**os.environ, "PYTHON": sys.executable}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    told = json.loads((tmp_path / "session.json").read_text())
    parts = told["parts"]
    assert {name: part["state"] for name, part in parts.items()} == dict.fromkeys(
        ("machine", "placement", "agreement", "service", "graphs", "memory", "marked", "bench digits"), "passed"
    ), ended.stdout
    assert ended.returncode == 0
    assert (told["complete"], told["passed"], told["measured"]) == (True, True, False)
    figures = {name: part["figures"] for name, part in parts.items()}
    assert all(each["failures"] == [] for each in figures.values())

    assert "CPUExecutionProvider" in figures["machine"]["onnxruntime"]["providers"]
    for model in ("fashion-mnist", "digits", "diabetes"):
        assert figures["placement"][model]["ran"].keys() == {"CPUExecutionProvider"}
        shares = figures["agreement"][f"{model} float32, shares of what is allowed"]
        assert 0 <= max(shares.values()) <= 1
        assert figures["graphs"][f"{model}, another thread"]["share of what is allowed"] <= 1
        for protocol in ("predict", "v2"):
            assert f"service, {model}, {protocol}, shares of what is allowed" in figures["service"]
    assert 0 < figures["agreement"]["float16"]["99 % within"] <= 1e-3  # 0 would be float32
    assert figures["memory"]["limit"]["halved"] >= 1
    assert figures["service"]["service, seconds"]["to exit"] > 0
    assert 'device="cpu"' in figures["service"]["service, metrics"][0]
    marked = [counts for name, counts in figures["marked"].items() if name != "failures"]
    assert len(marked) >= 3
    rows = figures["bench digits"]["rows"]
    assert {(row["plan"], row["precision"], row["batch"]) for row in rows} >= {("folded", "float16", 8)}
    assert figures["bench digits"]["left_out"] == []
