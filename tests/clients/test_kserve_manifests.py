"""docker/kubernetes/kserve against KServe's own SDK."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.kubernetes.manifests import FOLDER, rendered, the
from tests.serving import ROOT

PYTHON = ROOT / ".venv" / "kserve" / "bin" / "python"
PROGRAM = Path(__file__).parent / "kserve" / "manifests.py"


def problems(documents: list[dict[str, Any]]) -> list[str]:
    done = subprocess.run([PYTHON, PROGRAM], input=json.dumps(documents), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


def test_the_sdk_knows_every_field() -> None:
    documents = rendered(FOLDER / "kserve")
    assert {document["kind"] for document in documents} == {"ServingRuntime", "InferenceService"}
    assert problems(documents) == []


def test_it_notices_what_there_is_not() -> None:
    documents = rendered(FOLDER / "kserve")
    the("InferenceService", documents)["spec"]["predictor"]["minReplica"] = 1
    the("InferenceService", documents)["spec"]["predictor"]["maxReplicas"] = "eight"
    the("ServingRuntime", documents)["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"] = {"comand": []}
    assert problems(documents) == [
        "InferenceService.spec.predictor.maxReplicas: not a int",
        "InferenceService.spec.predictor.minReplica: not in V1beta1PredictorSpec",
        "ServingRuntime.spec.containers.0.lifecycle.preStop.exec.comand: not in V1ExecAction",
    ]
