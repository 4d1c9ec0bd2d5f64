"""KServe's own client, from its package, as an application would use it."""

import json
from pathlib import Path

import numpy as np

from tests.clients.command import run
from tests.pictures import pictures
from tests.serving import ROOT, SHIPPED, as_process

PYTHON = ROOT / ".venv" / "kserve" / "bin" / "python"
APPLICATION = Path(__file__).parent / "kserve" / "application.py"


def test_rows_as_json_and_as_bytes_are_answered_as_by_predict(tmp_path: Path) -> None:
    inputs = pictures().inputs[:3].tolist()
    (tmp_path / "rows.json").write_text(json.dumps(inputs))
    with as_process(ROOT / "models" / "repository", **SHIPPED) as (client, _):
        answer = client.post("/predict", json={"model": "fashion-mnist", "inputs": inputs}).raise_for_status().json()
        printed = run(PYTHON, APPLICATION, str(client.base_url), "fashion-mnist", "rows.json", cwd=tmp_path)
    predictions = answer["predictions"]
    expected = {name: [row[name] for row in predictions] for name in ("probabilities", "entropy", "mutual_information")}
    expected["submodels"] = [[one["probabilities"] for one in row["submodels"]] for row in predictions]
    for found in map(json.loads, printed.splitlines()):
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(np.array(found[name], np.float32), np.array(values, np.float32), name)
    assert len(printed.splitlines()) == 2
