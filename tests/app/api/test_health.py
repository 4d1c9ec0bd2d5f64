from pathlib import Path

import httpx

from tests.serving import application, in_thread, serving


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


def test_without_a_device_it_is_not_ready_and_after_the_grace_not_alive(tiny_repository: Path) -> None:
    for grace, live in ((3600.0, 200), (0.0, 503)):
        app = application(tiny_repository, stuck_grace_seconds=grace)
        with in_thread(app) as client:
            app.services.batcher.watchdog.lose(0, "device 0 fails at what it did before")
            ready = client.get("/health/ready")
            assert (ready.status_code, ready.json()["error"]["code"]) == (503, "not_ready")
            assert ready.json()["error"]["message"] == "device 0 fails at what it did before"
            found = [client.get(path) for path in ("/health/live", "/v2/health/live")]
            assert [response.status_code for response in found] == [live, live]
            if live == 503:
                assert found[0].json()["error"]["code"] == "device_failed"
            assert found[1].json() == {"live": live == 200}
