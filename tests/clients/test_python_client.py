"""A client generated from the OpenAPI document by openapi-python-client, used as an application would use it."""

import json
import os
import subprocess
from pathlib import Path

import httpx

from tests.pictures import REQUEST, readme_answer, same_to_three_digits
from tests.serving import ROOT, SHIPPED, as_process

GENERATOR = ROOT / ".venv" / "clients" / "bin"

APPLICATION = """
import json, sys
from masksembles_client import Client
from masksembles_client.api.models import list_models
from masksembles_client.api.predict import predict
from masksembles_client.models import ClassificationAnswer, ErrorBody, PredictRequest

with Client(base_url=sys.argv[1]) as client:
    request = PredictRequest.from_dict(json.load(open(sys.argv[2])))
    answer = predict.sync(client=client, body=request)
    assert isinstance(answer, ClassificationAnswer), answer
    assert answer.predictions[0].mutual_information > 0
    assert len(answer.predictions[0].submodels) == answer.model.num_submodels
    refused = predict.sync_detailed(client=client, body=PredictRequest(model="cats", inputs=[[1]]))
    assert refused.status_code == 404
    assert isinstance(refused.parsed, ErrorBody)
    assert refused.parsed.error.code == "unknown_model"
    models = list_models.sync(client=client)
    assert [model.name for model in models.models] == ["digits", "fashion-mnist"]
    print(json.dumps(answer.to_dict()))
"""


def run(*command: str | Path, cwd: Path) -> str:
    environment = {**os.environ, "PATH": f"{GENERATOR}:{os.environ['PATH']}"}  # the generator calls its own ruff
    found = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def test_a_generated_client_posts_and_reads(tmp_path: Path) -> None:
    with as_process(ROOT / "models" / "store", **SHIPPED) as (client, _):
        (tmp_path / "openapi.json").write_bytes(client.get("/openapi.json").raise_for_status().content)
        (tmp_path / "config.yml").write_text("package_name_override: masksembles_client\n")
        run(
            GENERATOR / "openapi-python-client", "generate", "--path", "openapi.json", "--config", "config.yml",
            "--output-path", "made", "--meta", "none", "--fail-on-warning", cwd=tmp_path,
        )  # fmt: skip
        (tmp_path / "made").rename(tmp_path / "masksembles_client")
        (tmp_path / "application.py").write_text(APPLICATION)
        address = str(client.base_url)
        printed = run(GENERATOR / "python", "application.py", address, REQUEST, cwd=tmp_path)
        assert same_to_three_digits(json.loads(printed), readme_answer())
        assert client.get("/health/ready").status_code == httpx.codes.OK
