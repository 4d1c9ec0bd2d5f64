"""Who is let in while the queue is full, by itself with a gateway that only counts, and in the whole service."""

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest

from app.api.middleware import Gateway
from app.auth.guard import Guard
from app.auth.keys import make_key, parse_keys
from app.engine.batcher import Batcher
from app.entrance import Entrance
from app.errors import QueueFull, ServiceError, Unauthorized
from app.http_protocol import SMALL_REST, HttpProtocol
from tests.app.api.test_overload import ROW, Held
from tests.app.engine.fakes import until
from tests.app.test_early_answers import connected, read
from tests.serving import open_models, serving

KEY, LINE = make_key("ci", "predict")


class Crowd:
    """A gateway and a queue for so many, and guests that note what becomes of them; those of `unknown` have no key."""

    def __init__(self, room: int, unknown: str = "") -> None:
        self.waiting = 0
        self.seen: list[str] = []
        self._most = room
        self._unknown = unknown
        self.gateway = SimpleNamespace(
            refusable=lambda scope: None if scope["path"] == "/health" else "/predict",
            turn_away=self._turn_away,
            services=SimpleNamespace(stopping=False, batcher=self),
        )
        self.entrance = Entrance(cast(Gateway, self.gateway))

    @property
    def room(self) -> int:
        return max(0, self._most - self.waiting)

    def refusal(self) -> ServiceError | None:
        return None if self.room else QueueFull("full", 1)

    def _turn_away(self, scope: Any, route: str, full: ServiceError) -> tuple[ServiceError, bytes, bytes]:
        return (Unauthorized("no") if scope["name"] in self._unknown else full), b"id", b"trace"

    def come(self, names: str, path: str = "/predict") -> None:
        for name in names:
            self.entrance.enter(self, SimpleNamespace(scope={"name": name, "path": path}))  # type: ignore[arg-type]

    def begin(self, cycle: Any) -> None:
        self.seen.append(f"+{cycle.scope['name']}")
        if cycle.scope["path"] == "/predict":
            asyncio.get_running_loop().call_soon(self._put)  # as a task would: in the next pass

    def _put(self) -> None:
        self.waiting += 1

    def turn_away(self, cycle: Any, refusal: Any, request_id: bytes, trace: bytes) -> None:
        self.seen.append(f"{refusal.status}{cycle.scope['name']}")


async def passes(count: int = 1) -> None:
    """Lets the event loop go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_whoever_comes_goes_straight_in_until_the_queue_is_full() -> None:
    async def run() -> None:
        crowd = Crowd(room=1)
        crowd.come("ab")
        assert crowd.seen == ["+a", "+b"]
        await passes()
        crowd.come("c")
        assert crowd.seen == ["+a", "+b"]
        await passes()
        assert crowd.seen == ["+a", "+b", "503c"]

    asyncio.run(run())


def test_as_many_are_let_in_as_there_is_room_for_in_the_order_in_which_they_came() -> None:
    async def run() -> None:
        crowd = Crowd(room=3, unknown="e")
        crowd.waiting = 3
        crowd.come("abcdef")
        crowd.come("h", "/health")
        assert crowd.seen == ["+h"]
        crowd.waiting = 1  # a device has taken two
        await passes(4)
        assert crowd.seen == ["+h", "+a", "+b", "503c", "503d", "401e", "503f"]
        assert crowd.waiting == 3

    asyncio.run(run())


def test_a_few_at_a_time_are_refused_so_that_answers_go_out_between() -> None:
    async def run() -> None:
        crowd = Crowd(room=1)
        crowd.waiting = 1
        crowd.come("x" * 200)
        seen = []
        while crowd.seen.count("503x") < 200:
            await passes()
            seen.append(len(crowd.seen))
        assert seen == [64, 128, 192, 200]

    asyncio.run(run())


def test_nobody_overtakes_who_waits() -> None:
    async def run() -> None:
        crowd = Crowd(room=2)
        crowd.waiting = 2
        crowd.come("ab")
        crowd.waiting = 1
        crowd.come("c")
        assert crowd.seen == []
        await passes(3)
        assert crowd.seen == ["+a", "503b", "503c"]

    asyncio.run(run())


def test_a_service_that_stops_leaves_it_to_the_application() -> None:
    async def run() -> None:
        crowd = Crowd(room=0)
        crowd.gateway.services.stopping = True
        crowd.come("abc")
        await passes()
        assert crowd.seen == ["+a", "+b", "+c"]

    asyncio.run(run())


@contextmanager
def full(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Iterator[tuple[httpx.Client, Held]]:
    """A service whose device is held, and whose queue is full."""
    models = open_models(folder)
    models.registry.find("tiny", None).inline_max_rows = 0
    with ExitStack() as stack:
        client = stack.enter_context(
            serving(folder, models=models, max_queue_rows=1, queue_timeout_ms=20_000, **settings)
        )
        client.headers["x-api-key"] = KEY
        held = Held(monkeypatch)
        pool = stack.enter_context(ThreadPoolExecutor(2))
        stack.callback(held.free.set)
        taken = [pool.submit(client.post, "/predict", json=ROW)]
        until(lambda: held.rows == [1])
        taken.append(pool.submit(client.post, "/predict", json=ROW))
        until(lambda: "\nmasksembles_queue_rows 1.0" in client.get("/metrics").text)
        yield client, held
        held.free.set()
        assert [task.result().status_code for task in taken] == [200, 200]


def counted(client: httpx.Client, outcome: str) -> int:
    found = [line for line in client.get("/metrics").text.splitlines() if f'outcome="{outcome}",version=""' in line]
    return int(float(found[0].split()[-1])) if found else 0


HEAD = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def request(path: bytes = b"/predict", body: bytes = b"{}", more: bytes = b"") -> bytes:
    return HEAD % path + more + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize("path", [b"/predict", b"/v2/models/tiny/infer", b"/v2/models/tiny/versions/1/infer"])
def test_a_refusal_is_the_same_whoever_gives_it(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch, path: bytes
) -> None:
    """The first is the application's, the others are given without it."""
    ids = b"X-Request-ID: mine\r\ntraceparent: %b\r\n" % TRACE
    given: list[bytes] = []
    real = HttpProtocol.turn_away

    def noted(self: HttpProtocol, cycle: Any, refusal: Any, request_id: bytes, trace: bytes) -> None:
        given.append(request_id)
        real(self, cycle, refusal, request_id, trace)

    monkeypatch.setattr(HttpProtocol, "turn_away", noted)
    with full(tiny_repository, monkeypatch) as (client, _), connected(client) as line:
        begun = counted(client, "queue_full")
        answers = []
        for by_the_application in (True, False, False):
            with monkeypatch.context() as changed:
                if by_the_application:
                    changed.setattr(Batcher, "room", 1)
                line.sendall(request(path, more=ids))
                answers.append(read(line))
        assert given == [b"mine"] * 2
        assert counted(client, "queue_full") == begun + 3
        for status, headers, body in answers:
            assert status == 503
            assert (headers["x-request-id"], headers["retry-after"]) == ("mine", "1")
            assert headers["traceparent"].startswith(TRACE[:36].decode())
            assert headers.keys() == answers[0][1].keys()
            same = headers.keys() - {"traceparent", "date"}
            assert {name: headers[name] for name in same} == {name: answers[0][1][name] for name in same}
            assert body == answers[0][2]
        assert "content-security-policy" in answers[0][1]
        line.sendall(request(path))
        _, headers, body = read(line)
        if path == b"/predict":
            assert json.loads(body)["error"]["request_id"] == headers["x-request-id"]
        assert len(headers["x-request-id"]) == 32


def test_it_serves_on_when_there_is_room_again(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with full(tiny_repository, monkeypatch) as (client, held), connected(client) as line:
        for _ in range(2):
            line.sendall(request())
            assert read(line)[0] == 503
        held.free.set()
        until(lambda: "\nmasksembles_queue_rows 0.0" in client.get("/metrics").text)
        for _ in range(2):
            line.sendall(request(body=json.dumps(ROW).encode()))
            status, headers, _ = read(line)
            assert (status, headers.get("connection")) == (200, None)


def test_many_on_one_connection_are_refused_in_turn(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with full(tiny_repository, monkeypatch) as (client, _), connected(client) as line:
        line.sendall(b"".join(request(more=b"X-Request-ID: %d\r\n" % i) for i in range(10)))
        with line.makefile("rb") as answers:
            found = []
            for _ in range(10):
                assert answers.readline().startswith(b"HTTP/1.1 503 ")
                headers = {}
                while (entry := answers.readline()) != b"\r\n":
                    name, _, value = entry.strip().partition(b": ")
                    headers[name] = value
                answers.read(int(headers[b"content-length"]))
                found.append(headers[b"x-request-id"])
        assert found == [b"%d" % i for i in range(10)]


@pytest.mark.parametrize("size", [SMALL_REST, SMALL_REST + 1])
def test_a_body_that_comes_after_its_refusal_is_thrown_away(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    with full(tiny_repository, monkeypatch) as (client, _):
        with connected(client) as line:
            line.sendall(request())
            read(line)
            line.sendall(HEAD % b"/predict" + b"Content-Length: %d\r\n\r\n" % size)
            status, headers, _ = read(line)
            goes_on = size == SMALL_REST
            assert (status, headers.get("connection")) == (503, None if goes_on else "close")
            line.sendall(bytes(size))
            if goes_on:
                line.sendall(request())
                assert read(line)[0] == 503
            else:
                assert line.recv(1) == b""
        with connected(client) as line:
            line.sendall(HEAD % b"/predict" + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            status, headers, _ = read(line)
            assert (status, headers["connection"]) == (503, "close")


def test_who_has_no_key_learns_that_rather(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = Guard(parse_keys(LINE.replace("predict", "predict+metrics")))
    with full(tiny_repository, monkeypatch, guard=guard) as (client, _), connected(client) as line:
        known = b"X-API-Key: %b\r\n" % KEY.encode()
        for more, status in ((known, 503), (b"", 401), (known, 503), (b"X-API-Key: no\r\n", 401)):
            line.sendall(request(more=more))
            found, headers, _ = read(line)
            assert (found, "www-authenticate" in headers) == (status, status == 401)


def test_a_page_of_another_site_may_read_it(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origins = ["https://a.example"]
    with full(tiny_repository, monkeypatch, cors_origins=origins) as (client, _), connected(client) as line:
        for _ in range(2):
            line.sendall(request(more=b"Origin: https://a.example\r\n"))
            status, headers, _ = read(line)
            assert (status, headers["access-control-allow-origin"]) == (503, "https://a.example")


def test_who_leaves_before_it_is_his_turn_is_counted(tiny_repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with full(tiny_repository, monkeypatch) as (client, _):
        begun = counted(client, "queue_full")
        for _ in range(3):
            with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as line:
                line.sendall(request())
        until(lambda: counted(client, "queue_full") == begun + 3)
        assert client.get("/health/live").status_code == 200
