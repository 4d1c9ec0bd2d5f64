from pathlib import Path

import httpx

from tests.serving import serving


def test_ready_tells_the_device_and_the_models(client: httpx.Client) -> None:
    assert client.get("/health/live").json() == {"status": "alive"}
    assert client.get("/health/ready").json() == {
        "status": "ready",
        "device": "cpu",
        "device_setting": "auto",
        "device_reason": "no GPU can be used: none here",
        "models": {"bytes": 1, "digits": 1, "tiny": 1},
    }


def test_a_service_without_models_is_alive_and_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path) as client:
        assert client.get("/health/live").status_code == 200
        response = client.get("/health/ready")
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "not_ready"
        response = client.post("/predict", json={"inputs": [[1]]})
        assert response.status_code == 404
        assert "there are: none" in response.json()["error"]["message"]


def test_a_head_is_answered_as_a_get_without_its_body(client: httpx.Client) -> None:
    for path in ("/health/live", "/health/ready", "/v2/health/ready", "/models"):
        found, expected = client.head(path), client.get(path)
        assert (found.status_code, found.content) == (expected.status_code, b"")
        assert found.headers["content-length"] == expected.headers["content-length"]
    assert client.head("/predict").status_code == 405
