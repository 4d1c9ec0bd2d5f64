import logging
import socket
from pathlib import Path

import httpx
import pytest

from app.contract import schema
from app.contract.tensor import Tensor
from tests import artefacts, graphs
from tests.serving import serving


def test_all_models_with_what_became_of_their_versions(client: httpx.Client) -> None:
    catalog = client.get("/models").json()
    assert catalog["default"] == "tiny"
    _, digits, tiny = catalog["models"]
    assert digits["name"] == "digits"
    assert digits["inputs"] == [
        {
            "name": "input",
            "dtype": "float32",
            "shape": ["B", 1, 8, 8],
            "unit": "grey value",
            "range": [0, 1],
            "image": True,
        }
    ]
    (head,) = digits["heads"]
    assert (head["task"], head["labels"]) == ("classification", [str(digit) for digit in range(10)])
    assert not head.keys() & {"name", "grid", "targets", "warnings"}
    assert (digits["method"], digits["num_submodels"]) == ("masksembles", 4)
    assert "axes" not in digits
    assert "image" not in tiny["inputs"][0]
    assert tiny["version"] == 1
    good, bad = tiny["versions"]
    assert good == {"version": 1, "state": "available", "loaded": True}
    assert bad["state"] == "rejected"
    assert "truncated" in bad["reason"]
    assert client.get("/models/tiny").json() == tiny


def test_each_service_says_which_one_answers(tiny_repository: Path) -> None:
    with serving(tiny_repository) as first, serving(tiny_repository) as second:
        said = [client.get("/models").json()["replica"] for client in (first, second, first)]
        assert said == [f"{socket.gethostname()}:{client.base_url.port}" for client in (first, second, first)]
    assert said[0] != said[1]


def test_a_version_shows_its_contract(client: httpx.Client) -> None:
    detail = client.get("/models/digits/versions/1").json()
    contract = schema.Contract.model_validate(detail["contract"])
    assert contract.head.calibration is not None
    assert (detail["name"], detail["version"], detail["state"]) == ("digits", 1, "available")
    units = {tensor["name"]: tensor["unit"] for tensor in detail["contract"]["heads"][0]["outputs"]}
    assert units["entropy"] == units["mutual_information"] == "nats"
    refused = client.get("/models/tiny/versions/2").json()
    assert refused["state"] == "rejected"
    assert "contract" not in refused


def test_what_is_not_there_says_what_is(client: httpx.Client) -> None:
    for path in ("/models/cats", "/models/cats/versions/1"):
        response = client.get(path)
        assert response.status_code == 404
        assert "there are: bytes, digits, tiny" in response.json()["error"]["message"]
    response = client.get("/models/tiny/versions/9")
    assert response.status_code == 404
    assert "there are: 1, 2" in response.json()["error"]["message"]
    for version in ("0", "x", "-1", "01", "1.0", "+1", "1_0"):
        response = client.get(f"/models/tiny/versions/{version}")
        assert response.status_code == 422
        assert response.json()["error"]["field"] == "version"


def test_what_a_calibration_could_hardly_bear_is_shown_and_logged(
    digits_repository: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, contract = artefacts.read(digits_repository, "digits", 1)
    assert contract.head.calibration is not None
    warned = contract.head.calibration.model_copy(update={"warnings": ("calibrated on 12 rows", "no row of class '3'")})
    artefacts.write(tmp_path, "digits", model, contract.with_head(contract.head, calibration=warned))
    with caplog.at_level(logging.WARNING, logger="app"), serving(tmp_path) as client:
        shown = client.get("/models/digits").json()
        detail = client.get("/models/digits/versions/1").json()
    assert (
        shown["heads"][0]["warnings"]
        == detail["contract"]["heads"][0]["calibration"]["warnings"]
        == list(warned.warnings)
    )
    assert [record.getMessage() for record in caplog.records if "class '3'" in record.getMessage()] == [
        "digits:1: no row of class '3'"
    ]


def test_without_warnings_none_are_shown(client: httpx.Client) -> None:
    assert "warnings" not in client.get("/models/digits").json()["heads"][0]


def test_ranges_of_channels_are_shown_and_kept(tmp_path: Path) -> None:
    given = Tensor(
        name="input", dtype="float32", shape=("B", 2), unit="", range=(0, 1100), channel_ranges=((0, 1), (900, 1100))
    )
    artefacts.write(tmp_path, "station", *graphs.classifier(given, "ab", method="single"))
    with serving(tmp_path) as client:
        (shown,) = client.get("/models/station").json()["inputs"]
        assert (shown["range"], shown["channel_ranges"]) == ([0, 1100], [[0, 1], [900, 1100]])
        assert client.post("/predict", json={"inputs": [[0.5, 1000]]}).status_code == 200
        error = client.post("/predict", json={"inputs": [[0.5, 1000], [1000, 0.5]]}).json()["error"]
        assert (error["field"], error["message"]) == (
            "inputs[1][0]",
            "expected values in [0, 1], got 1000; 2 of 4 values are outside",
        )
