"""POST /models/{name}/load and /unload, where they are allowed."""

import shutil
from pathlib import Path

import httpx
import pytest

ROW = {"model": "tiny", "inputs": [[0.5] * 6]}


def test_unload_and_load(administered: httpx.Client, repository: Path) -> None:
    assert administered.post("/models/tiny/unload").json()["versions"] == [
        {"version": 1, "state": "unloaded", "loaded": False}
    ]
    response = administered.post("/predict", json=ROW)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "unknown_model"
    assert administered.get("/health/ready").status_code == 503
    shutil.copytree(repository / "tiny" / "1", repository / "tiny" / "2")
    loaded = administered.post("/models/tiny/load").raise_for_status().json()
    assert loaded["version"] == 2
    assert administered.post("/predict", json=ROW).json()["model"]["version"] == 2


def test_what_cannot_be_loaded_is_said(administered: httpx.Client, repository: Path) -> None:
    for name in ("dogs", "..%2Ftiny"):
        response = administered.post(f"/models/{name}/load")
        assert response.status_code == 404
    administered.post("/models/tiny/unload")
    (repository / "tiny" / "1" / "model.onnx").write_bytes(b"damaged")
    response = administered.post("/models/tiny/load")
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "version_rejected"
    assert "not an ONNX file" in response.json()["error"]["message"]


def test_a_bad_version_leaves_the_old_one_serving(administered: httpx.Client, repository: Path) -> None:
    (repository / "tiny" / "2").mkdir()
    (repository / "tiny" / "2" / "model.onnx").write_bytes(b"damaged")
    loaded = administered.post("/models/tiny/load").raise_for_status().json()
    assert loaded["version"] == 1
    assert loaded["versions"][1]["state"] == "rejected"
    assert administered.post("/predict", json=ROW).json()["model"]["version"] == 1


def test_it_is_off_without_the_setting(client: httpx.Client) -> None:
    for action in ("load", "unload"):
        response = client.post(f"/models/tiny/{action}")
        assert response.status_code == 403
        assert response.json()["error"]["code"] == "admin_disabled"
    assert client.post("/predict", json=ROW).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_do_not_administer(administered: httpx.Client, site: str) -> None:
    for path in ("/models/tiny/unload", "/v2/repository/models/tiny/unload"):
        assert administered.post(path, headers={"sec-fetch-site": site}).status_code == 403
        assert administered.post("/predict", json=ROW).status_code == 200
    assert administered.post("/models/tiny/unload", headers={"sec-fetch-site": "same-origin"}).status_code == 200
