"""Who is let in, how often, and what every answer says to browsers."""

import itertools
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.api.middleware import Gateway
from app.auth import guard as guard_module
from app.auth import keys
from app.auth.guard import Guard, needed
from app.auth.keys import Key
from app.errors import InsufficientScope, RateLimited, Unauthorized
from app.main import routes
from tests.serving import application, in_thread

SCOPES = {
    "/predict": "predict",
    "/feedback": "predict",
    "/models": "predict",
    "/models/{name}": "predict",
    "/models/{name}/versions/{version}": "predict",
    "/models/{name}/quality": "predict",
    "/models/{name}/load": "admin",
    "/models/{name}/unload": "admin",
    "/health/live": None,
    "/health/ready": None,
    "/metrics": "metrics",
    "/v2": "predict",
    "/v2/health/live": None,
    "/v2/health/ready": None,
    "/v2/models/stats": "predict",
    "/v2/models/{name}": "predict",
    "/v2/models/{name}/ready": "predict",
    "/v2/models/{name}/infer": "predict",
    "/v2/models/{name}/stats": "predict",
    "/v2/models/{name}/config": "predict",
    "/v2/models/{name}/versions/{version}": "predict",
    "/v2/models/{name}/versions/{version}/ready": "predict",
    "/v2/models/{name}/versions/{version}/infer": "predict",
    "/v2/models/{name}/versions/{version}/stats": "predict",
    "/v2/models/{name}/versions/{version}/config": "predict",
    "/v2/repository/index": "predict",
    "/v2/repository/models/{name}/load": "admin",
    "/v2/repository/models/{name}/unload": "admin",
}
ROW = {"inputs": [[0.5] * 6]}
INFER = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 6], "data": [0.5] * 6}]}


def test_every_path_of_the_document_needs_what_it_should() -> None:
    document = routes().openapi()
    assert {path: needed(path) for path in document["paths"]} == SCOPES
    for path in SCOPES:
        assert needed(path.format(name="digits.1", version="2")) == SCOPES[path]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert (operation.get("security", document["security"]) == []) == (SCOPES[path] is None)


def test_the_document_and_its_page_are_open_and_other_paths_are_not() -> None:
    assert needed("/") is None
    assert needed("/page/main.js") is None
    assert needed("/docs") is None
    assert needed("/docs/swagger-ui.css") is None
    assert needed("/openapi.json") is None
    others = (
        "",
        "/page",
        "/pagex",
        "/nowhere",
        "/docsx",
        "/openapi.json/x",
        "/v2/",
        "/v2x",
        "/health/x",
        "/v2/health/",
        "//health/live",
        "/predict/",
        "/health\n/live",
    )
    for path in others:
        assert needed(path) is not None


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def keyed(name: str, scopes: str = "predict") -> tuple[str, Key]:
    key, line = keys.make_key(name, scopes)
    return key, keys.parse_keys(line)[0]


Headers = list[tuple[bytes, bytes]]


def bearer(key: str) -> Headers:
    return [(b"host", b"x"), (b"authorization", b"Bearer " + key.encode())]


CI, CI_KEY = keyed("ci")
PROMETHEUS, PROMETHEUS_KEY = keyed("prometheus", "metrics")
OPS, OPS_KEY = keyed("ops", "admin+predict+metrics")
KEYS = (CI_KEY, PROMETHEUS_KEY, OPS_KEY)


def test_without_keys_everybody_is_let_in() -> None:
    for path in SCOPES:
        Guard().admit(path, [(b"host", b"127.0.0.1:8000")])


@pytest.mark.parametrize(
    ("host", "own"),
    [
        (b"localhost", True),
        (b"LOCALHOST:8000", True),
        (b"127.1.2.3:1", True),
        (b"[::1]:8000", True),
        (b"evil.example", False),
        (b"localhost.evil.example:8000", False),
        (b"127.0.0.1.evil.example", False),
        (b"10.0.0.1", False),
        (b"[::1", False),
        (b"", False),
    ],
)
def test_without_keys_nobody_administers_under_another_name(host: bytes, own: bool) -> None:
    for path in ("/models/tiny/load", "/v2/repository/models/tiny/unload"):
        if own:
            Guard().admit(path, [(b"host", host)])
        else:
            with pytest.raises(InsufficientScope, match="localhost"):
                Guard().admit(path, [(b"host", host)])
    Guard().admit("/predict", [(b"host", host)])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", f"Bearer {CI}".encode())],
        [(b"authorization", f"bearer   {CI} ".encode())],
        [(b"x-api-key", CI.encode())],
        [(b"x-api-key", f" {CI} ".encode())],
    ],
)
def test_a_key_comes_in_either_header(headers: Headers) -> None:
    Guard(KEYS).admit("/predict", headers)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", CI.encode())],
        [(b"authorization", f"Basic {CI}".encode())],
        [(b"authorization", f"Bearer {CI}x".encode())],
        [(b"authorization", f"Bearer {CI[:-1]}".encode())],
        [(b"authorization", f"Bearer {CI.upper()}".encode())],
        [(b"authorization", f"Bearer {CI_KEY.digest.hex()}".encode())],
        [(b"authorization", b"Bearer \xff\x00")],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"wrong")],
        [(b"x-api-key", CI_KEY.digest)],
        [(b"cookie", f"x-api-key={CI}".encode())],
    ],
)
def test_without_a_known_key_nothing_is_allowed(headers: Headers) -> None:
    for path in ("/predict", "/metrics", "/v2", "/nowhere", "/models/x/load"):
        with pytest.raises(Unauthorized) as refused:
            Guard(KEYS).admit(path, headers)
        assert CI not in refused.value.message
    for path in ("/health/live", "/v2/health/ready", "/docs", "/openapi.json"):
        Guard(KEYS).admit(path, headers)


def test_a_key_allows_what_its_scopes_say() -> None:
    guard = Guard(KEYS)
    for path, scope in SCOPES.items():
        for key, allowed in ((CI, {"predict"}), (PROMETHEUS, {"metrics"}), (OPS, {"predict", "metrics", "admin"})):
            if scope is None or scope in allowed:
                guard.admit(path, bearer(key))
                continue
            with pytest.raises(InsufficientScope, match=f"does not have the scope {scope}"):
                guard.admit(path, bearer(key))


STAMPS = itertools.count(10**18, 10**9)


def write(file: Path, *lines: str) -> None:
    """Another content, and a later time however fast it is written."""
    file.write_text("\n".join(lines))
    stamp = next(STAMPS)
    os.utime(file, ns=(stamp, stamp))


def lets_in(guard: Guard, key: str) -> bool:
    try:
        guard.admit("/predict", bearer(key))
    except Unauthorized:
        return False
    return True


def test_keys_in_a_file_are_rotated_without_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "keys"
    (old, old_line), (new, new_line) = keys.make_key("old", "predict"), keys.make_key("new", "predict")
    write(file, old_line)
    guard = Guard((CI_KEY,), file, clock=clock)
    assert [lets_in(guard, key) for key in (CI, old, new)] == [True, True, False]
    write(file, old_line, new_line)
    clock.now += 0.5
    assert not lets_in(guard, new)
    clock.now += 0.6
    assert [lets_in(guard, key) for key in (CI, old, new)] == [True, True, True]
    write(file, new_line)
    clock.now += 1.1
    assert [lets_in(guard, key) for key in (CI, old, new)] == [True, False, True]


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    file = tmp_path / "keys"
    key, line = keys.make_key("one", "predict")
    write(file, line)
    guard = Guard((), file, clock=clock)
    monkeypatch.setattr(guard_module, "read_keys", lambda _: pytest.fail("it was read"))
    for _ in range(5):
        clock.now += 1.1
        assert lets_in(guard, key)


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.unlink(),
        lambda file: write(file, "secret:nonsense"),
        lambda file: write(file, ""),
        lambda file: (file.unlink(), file.mkdir()),
        lambda file: file.write_bytes(b"\xff\xfe\x00"),
    ],
    ids=["gone", "broken", "empty", "a folder", "no text"],
)
def test_a_file_that_breaks_leaves_the_keys_as_they_were(
    tmp_path: Path, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    file = tmp_path / "keys"
    (old, old_line), (new, new_line) = keys.make_key("old", "predict"), keys.make_key("new", "predict")
    write(file, old_line)
    guard = Guard((), file, clock=clock)
    change(file)
    for _ in range(3):
        clock.now += 1.1
        assert lets_in(guard, old)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "MASKSEMBLES_KEYS_FILE" in record.getMessage()
    assert "secret" not in record.getMessage()
    if file.is_dir():
        file.rmdir()
    write(file, new_line)
    clock.now += 1.1
    assert [lets_in(guard, key) for key in (old, new)] == [False, True]


def test_it_does_not_start_with_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Guard((), tmp_path / "nowhere")
    (tmp_path / "keys").write_text("x:y")
    with pytest.raises(ValueError, match="key 1"):
        Guard((), tmp_path / "keys")


def taken(guard: Guard, headers: Headers, tries: int) -> int:
    """How many of so many requests are let in."""
    count = 0
    for _ in range(tries):
        try:
            guard.admit("/predict", headers)
        except RateLimited:
            continue
        count += 1
    return count


def test_a_key_may_be_used_so_many_times_a_second() -> None:
    clock = Clock()
    guard = Guard(KEYS, rate=5, clock=clock)
    assert taken(guard, bearer(CI), 20) == 5
    assert taken(guard, bearer(OPS), 20) == 5
    clock.now += 0.4
    assert taken(guard, bearer(CI), 20) == 2
    clock.now += 1000
    assert taken(guard, bearer(CI), 20) == 5
    for _ in range(100):
        guard.admit("/health/live", bearer(CI))


def test_only_known_keys_are_counted() -> None:
    guard = Guard(KEYS, rate=2, clock=Clock())
    for _ in range(10):
        assert not lets_in(guard, "wrong")
        with pytest.raises(InsufficientScope):
            guard.admit("/metrics", bearer(CI))
    assert taken(guard, bearer(CI), 20) == 2


def test_without_keys_all_share_one_rate() -> None:
    guard = Guard(rate=3, clock=Clock())
    assert taken(guard, [], 2) + taken(guard, bearer(CI), 2) == 3


@pytest.mark.parametrize(("rate", "seconds"), [(0.1, 10), (0.4, 3), (1, 1), (50, 1)])
def test_one_too_many_is_told_when_to_come_back(rate: float, seconds: int) -> None:
    clock = Clock()
    guard = Guard(KEYS, rate=rate, clock=clock)
    taken(guard, bearer(CI), 100)
    with pytest.raises(RateLimited, match=r"requests a second \(MASKSEMBLES_RATE_LIMIT\)") as refused:
        guard.admit("/predict", bearer(CI))
    assert refused.value.retry_after == seconds
    clock.now += seconds
    guard.admit("/predict", bearer(CI))


Secured = tuple[httpx.Client, Gateway]


@pytest.fixture(scope="module")
def secured(tiny_repository: Path) -> Iterator[Secured]:
    app = application(tiny_repository, guard=Guard(KEYS), enable_admin=True, max_body_bytes=100_000)
    with in_thread(app) as client:
        yield client, app


def error_of(response: httpx.Response, status: int, code: str) -> str:
    """The message of an answer that is an error, in the one form that its path has."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    if response.request.url.path.startswith("/v2"):
        assert body.keys() == {"error"}
        return str(body["error"])
    assert body["error"].keys() == {"code", "message", "request_id"}
    assert body["error"]["code"] == code
    assert body["error"]["request_id"] == response.headers["x-request-id"]
    return str(body["error"]["message"])


POSTS = {"/predict": ROW, "/v2/models/tiny/infer": INFER, "/v2/models/tiny/versions/1/infer": INFER}


@pytest.mark.parametrize("path", POSTS)
def test_a_key_is_needed_to_predict(secured: Secured, path: str) -> None:
    client, _ = secured
    for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
        response = client.post(path, json=POSTS[path], headers=headers)
        assert "API key" in error_of(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    response = client.post(path, json=POSTS[path], headers={"x-api-key": PROMETHEUS})
    assert "'prometheus' does not have the scope predict" in error_of(response, 403, "insufficient_scope")
    assert "www-authenticate" not in response.headers
    for headers in ({"x-api-key": CI}, {"authorization": f"Bearer {OPS}"}):
        assert client.post(path, json=POSTS[path], headers=headers).status_code == 200


def test_every_path_of_the_document_is_closed_but_for_those_that_are_open(secured: Secured) -> None:
    client, _ = secured
    for path, operations in routes().openapi()["paths"].items():
        for method in operations:
            response = client.request(method, path.format(name="tiny", version="1"))
            if SCOPES[path] is None:
                assert response.status_code == 200
            else:
                error_of(response, 401, "unauthorized")
    assert client.get("/docs").status_code == client.get("/openapi.json").status_code == 200
    assert client.get("/nowhere").status_code == 401
    assert client.get("/metrics", headers={"x-api-key": PROMETHEUS}).status_code == 200
    assert client.get("/metrics", headers={"x-api-key": CI}).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/models/tiny/load",
        "/v2/repository/models/tiny/load",
        "/models/tiny/load%0A",
        "/v2/repository/models/tiny/load%0A",
        "/models/tiny/load/",
        "/models//tiny/load",
        "//models/tiny/load",
        "/predict/../models/tiny/load",
        "/models/tiny%2Fload",
        "/models/tiny/load%00",
        "/models/tiny/load%20",
        "/models/tiny/LOAD",
        "/models/tiny/load;x",
        "/models/tiny/load%3Fx",
    ],
)
def test_no_way_to_write_a_path_lets_a_key_do_more_than_it_may(secured: Secured, path: str) -> None:
    client, _ = secured
    url = str(client.base_url).rstrip("/") + path
    assert client.post(url).status_code == 401
    assert client.post(url, headers={"x-api-key": CI}).status_code in (403, 404, 405)
    assert client.post(url, headers={"x-api-key": PROMETHEUS}).status_code in (403, 404, 405)


@pytest.mark.parametrize("path", ["/metrics", "/metrics%0A", "/metrics/", "//metrics", "/metrics%00"])
def test_metrics_are_for_those_with_their_scope(secured: Secured, path: str) -> None:
    client, _ = secured
    response = client.get(str(client.base_url).rstrip("/") + path, headers={"x-api-key": CI})
    assert response.status_code in (403, 404)


@pytest.mark.parametrize("path", ["/predict", "/v2/models/tiny/infer"])
@pytest.mark.parametrize("size", [10, 100_000, 900_000, 5_000_000])
def test_a_large_body_with_a_wrong_key_gets_its_answer(secured: Secured, path: str, size: int) -> None:
    client, _ = secured
    headers = {"x-api-key": "wrong", "content-type": "application/json"}
    for _ in range(2):
        error_of(client.post(path, content=b" " * size, headers=headers), 401, "unauthorized")
    assert client.post("/predict", json=ROW, headers={"x-api-key": CI}).status_code == 200


@pytest.mark.parametrize("path", POSTS)
def test_one_too_many_gets_its_answer_and_others_theirs(
    secured: Secured, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, app = secured
    clock = Clock()
    monkeypatch.setattr(app, "_guard", Guard(KEYS, rate=0.5, clock=clock))

    def post(key: str) -> httpx.Response:
        return client.post(path, json=POSTS[path], headers={"x-api-key": key})

    assert post(CI).status_code == 200
    response = post(CI)
    assert "more than 0.5 requests a second" in error_of(response, 429, "rate_limited")
    assert response.headers["retry-after"] == "2"
    assert post(OPS).status_code == 200
    clock.now += 2
    assert post(CI).status_code == 200


SECURE = {
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


def is_secure(response: httpx.Response) -> None:
    for name, value in SECURE.items():
        assert response.headers.get_list(name) == [value], (response.request.url, name)
    assert len(response.headers.get_list("x-request-id")) == 1


def test_every_answer_tells_browsers_to_do_nothing_with_it(secured: Secured) -> None:
    client, _ = secured
    ops = {"x-api-key": OPS}
    seen = set()
    for method, path, headers, content in (
        ("POST", "/predict", ops, json.dumps(ROW)),
        ("POST", "/predict", {**ops, "accept": "application/x-npz"}, json.dumps(ROW)),
        ("POST", "/predict", ops, "{}"),
        ("POST", "/predict", ops, " " * 100_001),
        ("POST", "/predict", {}, ""),
        ("POST", "/predict", {"x-api-key": PROMETHEUS}, ""),
        ("GET", "/predict", ops, ""),
        ("GET", "/nowhere", ops, ""),
        ("GET", "/models", ops, ""),
        ("GET", "/models/cats", ops, ""),
        ("GET", "/metrics", ops, ""),
        ("GET", "/health/live", {}, ""),
        ("GET", "/openapi.json", {}, ""),
        ("GET", "/v2", ops, ""),
        ("GET", "/v2", {}, ""),
        ("POST", "/v2/models/tiny/infer", ops, json.dumps(INFER)),
        ("POST", "/v2/models/tiny/infer", ops, "{}"),
        ("OPTIONS", "/predict", {"origin": "https://a.example"}, ""),
        ("HEAD", "/health/live", {}, ""),
    ):
        response = client.request(
            method, path, headers={"content-type": "application/json", **headers}, content=content
        )
        is_secure(response)
        seen.add(response.status_code)
    assert seen == {200, 400, 401, 403, 404, 405, 413, 422}


def test_an_unforeseen_failure_does_too(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    client, app = secured
    monkeypatch.setattr(app.services, "settings", None)
    for path in ("/predict", "/v2/models/tiny/infer"):
        response = client.post(path, json=ROW, headers={"x-api-key": CI})
        assert response.status_code == 500
        is_secure(response)


ORIGIN, OTHER = "https://a.example", "https://b.example"


def preflight(client: httpx.Client, origin: str, path: str = "/predict", method: str = "POST") -> httpx.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "content-type,traceparent,tracestate,x-api-key",
    }
    return client.options(path, headers=headers)


def cross_origin(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


def test_pages_of_other_origins_may_not_call(secured: Secured) -> None:
    client, _ = secured
    for path in ("/predict", "/v2/models/tiny/infer", "/models/tiny/load"):
        response = preflight(client, ORIGIN, path)
        assert response.status_code == 401
        assert cross_origin(response) == {}
    for key in (CI, "wrong"):
        response = client.post("/predict", json=ROW, headers={"origin": ORIGIN, "x-api-key": key})
        assert cross_origin(response) == {}


def service_of_nothing(folder: Path, keys: tuple[Key, ...], **settings: Any) -> Gateway:
    return application(folder, guard=Guard(keys), **settings)


def test_a_preflight_is_refused_without_keys_too(tmp_path: Path) -> None:
    with in_thread(service_of_nothing(tmp_path, ())) as client:
        response = preflight(client, ORIGIN)
        assert response.status_code == 405
        assert cross_origin(response) == {}
        is_secure(response)


def test_only_the_origins_that_are_named_may_call(tmp_path: Path) -> None:
    with in_thread(service_of_nothing(tmp_path, KEYS, cors_origins=(ORIGIN,))) as client:
        allowed = preflight(client, ORIGIN)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in allowed.headers
        assert "x-api-key" in allowed.headers["access-control-allow-headers"].lower()
        is_secure(allowed)
        for origin in (OTHER, "null", ORIGIN + ".evil.example", ORIGIN + ":8443", "http://a.example", ORIGIN.upper()):
            refused = preflight(client, origin)
            assert refused.status_code == 400
            assert "access-control-allow-origin" not in refused.headers
            is_secure(refused)
            response = client.get("/health/live", headers={"origin": origin})
            assert "access-control-allow-origin" not in response.headers
        assert preflight(client, ORIGIN, method="DELETE").status_code == 400


def test_a_page_that_may_call_can_read_errors_too(tmp_path: Path) -> None:
    with in_thread(service_of_nothing(tmp_path, KEYS, cors_origins=(ORIGIN,))) as client:
        for path, status in (("/health/live", 200), ("/models", 401), ("/docs", 200)):
            response = client.get(path, headers={"origin": ORIGIN})
            assert response.status_code == status
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert "origin" in response.headers["vary"].lower()
            exposed = response.headers["access-control-expose-headers"].lower()
            assert {"x-request-id", "retry-after", "traceparent"} <= {name.strip() for name in exposed.split(",")}
        assert "access-control-allow-origin" not in client.get("/models").headers


def test_who_is_not_let_in_is_counted(secured: Secured) -> None:
    client, app = secured
    assert client.get("/models", headers={"x-api-key": "wrong"}).status_code == 401
    counted = 'masksembles_requests_total{model="",outcome="unauthorized",version=""}'
    assert counted in app.services.telemetry.render().decode()
